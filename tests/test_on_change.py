"""Listeners: when they are called, where, with what, and what they cannot break."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from clients import prepared, running
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

Seen = list[frozenset[str]]


def test_listener_is_told_the_names_that_changed(
    backend: Backend, state_dir: Path
) -> None:
    """First all guards, then what was added, changed or removed, and nothing else."""
    backend.create_guard("kept.guard")
    backend.create_guard("changed.guard")
    backend.create_guard("removed.guard")
    seen: Seen = []
    client = prepared(backend, state_dir)
    client.on_change(seen.append)
    with client:
        until(lambda: seen)
        assert seen == [{"kept.guard", "changed.guard", "removed.guard"}]
        backend.update_guard("changed.guard", defaultValue=True)
        until(lambda: len(seen) == 2)
        backend.create_guard("added.guard")
        until(lambda: len(seen) == 3)
        backend.delete_guard("removed.guard")
        until(lambda: len(seen) == 4)
        refreshes = client.status().refreshes
        until(lambda: client.status().refreshes >= refreshes + 2)
    assert seen[1:] == [{"changed.guard"}, {"added.guard"}, {"removed.guard"}]


def test_new_answers_are_in_force_when_a_listener_is_called(
    backend: Backend, state_dir: Path
) -> None:
    """It may check the guards whose names it is told."""
    backend.create_guard("a.guard")
    answers: list[bool] = []
    client = prepared(backend, state_dir)
    client.on_change(lambda _: answers.append(client.is_open("a.guard")))
    with client:
        until(lambda: answers)
        backend.update_guard("a.guard", defaultValue=True)
        until(lambda: len(answers) == 2)
    assert answers == [False, True]


def test_listener_runs_in_the_refresh_thread(backend: Backend, state_dir: Path) -> None:
    """Neither start() nor a check runs it, whoever found the new bundle."""
    backend.create_guard("a.guard")
    threads: list[str] = []
    # The second client finds the snapshot of the first while it starts.
    for _ in range(2):
        client = prepared(backend, state_dir)
        client.on_change(lambda _: threads.append(threading.current_thread().name))
        with client:
            until(lambda: threads)
            assert set(threads) == {"liteguard-refresh"}
        threads.clear()


def test_several_listeners_are_told_in_order(backend: Backend, state_dir: Path) -> None:
    """Each that was added is called, in the order of adding."""
    backend.create_guard("a.guard")
    order: list[int] = []
    client = prepared(backend, state_dir)
    for number in range(3):
        client.on_change(lambda _, number=number: order.append(number))  # type: ignore[misc]  # mypy infers no type for a default
    with client:
        until(lambda: len(order) == 3)
    assert order == [0, 1, 2]


@pytest.mark.parametrize(
    "error", [ValueError, SystemExit, asyncio.CancelledError, KeyboardInterrupt]
)
def test_failing_listener_is_logged_and_stops_nothing(
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    state_dir: Path,
    error: type[BaseException],
) -> None:
    """The others are told, later changes arrive, and the log has the traceback."""
    backend.create_guard("a.guard")
    seen: Seen = []

    def fail(_: frozenset[str]) -> None:
        raise error("of the application")

    client = prepared(backend, state_dir)
    client.on_change(fail)
    client.on_change(seen.append)
    with client:
        until(lambda: seen)
        backend.update_guard("a.guard", defaultValue=True)
        until(lambda: len(seen) == 2)
        assert client.is_open("a.guard")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == [
        "liteguard: an on_change callback failed"
    ] * 2
    assert "of the application" in caplog.text


@pytest.mark.parametrize("method", ["shutdown", "flush_signals", "start", "status"])
def test_listener_may_call_the_client(
    backend: Backend, state_dir: Path, method: str
) -> None:
    """Even shutting down from inside the refresh thread ends."""
    backend.create_guard("a.guard")
    ended = threading.Event()
    client = prepared(backend, state_dir)

    def call(_: frozenset[str]) -> None:
        getattr(client, method)()
        ended.set()

    client.on_change(call)
    client.start()
    until(ended.is_set)
    client.shutdown()


def test_slow_listener_does_not_delay_checks_or_start(
    backend: Backend, state_dir: Path
) -> None:
    """While it runs, a check answers from the new bundle and start() returns."""
    backend.create_guard("a.guard", default_value=True)
    entered, leave = threading.Event(), threading.Event()
    released: list[bool] = []

    def block(_: frozenset[str]) -> None:
        entered.set()
        released.append(leave.wait(30))

    with running(backend, state_dir):
        client = prepared(backend, state_dir)
        client.on_change(block)
        client.start()
        until(entered.is_set)
        assert client.is_open("a.guard")
        leave.set()
        client.shutdown()
    assert released == [True]
