"""Starting: with a backend, without one, with a snapshot, from several threads."""

from __future__ import annotations

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from clients import prepared, running
from conftest import own_threads
from line import Line
from liteguard import NotReadyError
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend
    from liteguard import LiteguardClient

PROMPT = 60.0
"""A start that waits for its deadline, where it must not, runs into the timeout."""


@pytest.fixture
def line(backend: Backend) -> Iterator[Line]:
    """Return a connection to the backend that can fail."""
    with Line(backend.url) as connection:
        yield connection


def over(
    line: Line, backend: Backend, state_dir: Path, **more: object
) -> LiteguardClient:
    """Return a client that reaches the backend over *line*."""
    options = {"backend_url": line.url, "http_timeout_seconds": PROMPT, **more}
    return prepared(backend, state_dir, **options)


# -- with a backend


def test_start_returns_with_a_bundle(open_guard: Backend, state_dir: Path) -> None:
    """The first check after it answers from the bundle, after one fetch."""
    with running(open_guard, state_dir) as client:
        assert client.is_open("open.guard", fallback=False)
        assert open_guard.poll_count() >= 1
        assert client.status().ready


def test_start_is_idempotent(open_guard: Backend, state_dir: Path) -> None:
    """Starting again fetches nothing and starts no further thread."""
    slow = {"refresh_rate_seconds": 60}
    with running(open_guard, state_dir, **slow) as client:
        threads = own_threads()
        client.start()
        client.start(strict=True)
        assert own_threads() == threads
        assert sorted(thread.name for thread in threads) == [
            "liteguard-flush",
            "liteguard-refresh",
        ]
    assert open_guard.poll_count() == 1


def test_start_from_many_threads_starts_once(
    open_guard: Backend, state_dir: Path
) -> None:
    """Each call returns with a bundle; together they make one fetch and two threads."""
    count = 6
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for number in range(10):
            folder = state_dir / str(number)
            client = prepared(open_guard, folder, refresh_rate_seconds=60)
            barrier = threading.Barrier(count)

            def start(client: LiteguardClient, barrier: threading.Barrier) -> bool:
                barrier.wait(10)
                client.start(strict=True)
                return client.is_open("open.guard")

            with ThreadPoolExecutor(count) as pool:
                calls = [pool.submit(start, client, barrier) for _ in range(count)]
                assert all(call.result() for call in calls)
            assert len(own_threads()) == 2
            assert client.status().role == "leader"
            client.shutdown()
            assert own_threads() == set()
            assert open_guard.poll_count() == number + 1
    finally:
        sys.setswitchinterval(interval)


def test_started_client_follows_changes(open_guard: Backend, state_dir: Path) -> None:
    """A change at the backend is in force without a further call."""
    with running(open_guard, state_dir) as client:
        open_guard.update_guard("open.guard", defaultValue=False)
        until(lambda: not client.is_open("open.guard"))


def test_start_after_shutdown_works_again(open_guard: Backend, state_dir: Path) -> None:
    """It follows changes, records checks and delivers them as the first time."""
    client = prepared(open_guard, state_dir)
    for round_ in (1, 2, 3):
        client.start()
        assert client.peek_is_open("open.guard", fallback=False) is (round_ != 2)
        assert client.is_open("open.guard") is (round_ != 2)
        open_guard.update_guard("open.guard", defaultValue=round_ == 2)
        until(lambda r=round_: client.peek_is_open("open.guard") is (r == 2))  # type: ignore[misc]  # mypy infers no type for a default
        client.shutdown()
        assert own_threads() == set()
        assert open_guard.signal_summary()["distinct"] == round_


# -- without a backend


def test_start_without_backend_and_snapshot_answers_the_fallback(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """It returns after the first failure, long before its deadline."""
    line.cut()
    client = over(line, open_guard, state_dir, start_timeout_seconds=10 * PROMPT)
    client.start()
    assert not client.is_open("open.guard")
    assert client.is_open("open.guard", fallback=True)
    status = client.status()
    assert not status.ready
    assert "refused" in str(status.last_error)
    client.shutdown()


def test_start_ends_at_its_deadline_while_the_backend_hangs(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """The request is still waiting for its answer when start() has returned."""
    line.stall()
    client = over(line, open_guard, state_dir, start_timeout_seconds=0.1, fallback=True)
    client.start()
    until(line.asked.is_set)
    assert client.status().last_error is None
    assert client.status().refreshes == 1
    assert client.is_open("open.guard")
    assert not client.is_open("open.guard", fallback=False)
    line.restore()
    until(lambda: client.is_open("open.guard", fallback=False))
    client.shutdown()


def test_strict_start_raises_without_a_bundle(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """The error tells the cause, and the client recovers by itself later."""
    line.cut()
    client = over(line, open_guard, state_dir)
    with pytest.raises(NotReadyError, match=r"no bundle within .* s: cannot reach"):
        client.start(strict=True)
    line.restore()
    until(lambda: client.is_open("open.guard"))
    client.start(strict=True)
    client.shutdown()


def test_strict_start_raises_at_its_deadline(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """It does so while the backend hangs, too."""
    line.stall()
    client = over(line, open_guard, state_dir, start_timeout_seconds=0.1)
    with pytest.raises(NotReadyError, match=r"no bundle within 0\.1 s"):
        client.start(strict=True)
    line.cut()
    client.shutdown()


def test_client_recovers_by_itself_and_says_so(
    caplog: pytest.LogCaptureFixture, line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """One warning begins the trouble, one line ends it, and last_error is gone."""
    caplog.set_level(logging.INFO, logger="liteguard")
    line.cut()
    with over(line, open_guard, state_dir) as client:
        until(lambda: client.status().refreshes >= 2)
        line.restore()
        until(lambda: client.is_open("open.guard"))
        until(lambda: client.status().last_error is None)
        messages = [record.getMessage() for record in caplog.records]
        assert messages.count("liteguard: the backend answers again") == 1
        assert sum("cannot refresh the guards" in line for line in messages) == 1


def test_outage_keeps_the_bundle_in_force(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """While the backend cannot be reached, checks answer as before."""
    with over(line, open_guard, state_dir) as client:
        line.cut()
        until(lambda: client.status().last_error)
        assert client.is_open("open.guard")
        assert client.status().ready
        line.restore()


def test_start_without_backend_answers_from_the_snapshot(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """What an earlier process of the host has fetched is enough to start."""
    with over(line, open_guard, state_dir):
        pass
    line.cut()
    client = over(line, open_guard, state_dir)
    client.start(strict=True)
    assert client.is_open("open.guard")
    client.shutdown()


def test_fresh_snapshot_saves_the_fetch(open_guard: Backend, state_dir: Path) -> None:
    """A client that starts within one interval of the last fetch asks nothing."""
    for _ in range(3):
        with running(open_guard, state_dir, refresh_rate_seconds=60) as client:
            assert client.is_open("open.guard")
    assert open_guard.poll_count() == 1


def test_environments_do_not_share_a_snapshot(
    open_guard: Backend, state_dir: Path
) -> None:
    """Clients of two environments in one state folder get their own bundles."""
    other = f"{open_guard.environment}-other"
    token = open_guard.create_environment(other)
    theirs = {"project_client_token": token, "environment": other}
    with running(open_guard, state_dir) as client:
        with running(open_guard, state_dir, **theirs) as two:
            assert not two.is_open("open.guard")
            assert two.status().role == "leader"
        assert client.is_open("open.guard")
        assert client.status().role == "leader"
