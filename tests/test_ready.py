"""Waiting for a first bundle."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from clients import TOKEN, guard, offline, prepared, running
from forking import in_child
from line import Line
from liteguard import ConfigurationError, LiteguardClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend

IMPATIENT = {"start_timeout_seconds": 0.01}


@pytest.fixture
def line(open_guard: Backend) -> Iterator[Line]:
    """Return a connection to the backend that is cut."""
    with Line(open_guard.url) as connection:
        connection.cut()
        yield connection


def over(line: Line, backend: Backend, state_dir: Path) -> LiteguardClient:
    """Return a started client that has no bundle yet."""
    options = {"backend_url": line.url, "quiet": True, **IMPATIENT}
    client = prepared(backend, state_dir, **options)
    client.start()
    return client


def test_waits_until_a_bundle_is_in_force(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """It returns as soon as checks answer from rules."""
    with over(line, open_guard, state_dir) as client:
        assert not client.wait_until_ready(0)
        threading.Timer(0.1, line.restore).start()
        assert client.wait_until_ready(30)
        assert client.is_open("open.guard")


def test_says_that_there_is_none_when_time_is_up(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """Without a timeout of its own it waits as long as a start does."""
    with over(line, open_guard, state_dir) as client:
        assert not client.wait_until_ready()
        assert not client.wait_until_ready(0.05)
    line.restore()


def test_child_waits_for_what_its_parent_did_not_have(
    line: Line, open_guard: Backend, state_dir: Path
) -> None:
    """A worker that was forked too early revives by waiting."""
    with over(line, open_guard, state_dir) as client:

        def work() -> bool:
            return client.wait_until_ready(15) and client.is_open("open.guard")

        threading.Timer(0.1, line.restore).start()
        assert in_child(work)


@pytest.mark.parametrize("bundle", [None, {"guards": [guard("a.guard")]}])
def test_starts_nothing(bundle: Any) -> None:
    """A client that nobody started is ready if it brought a bundle along."""
    client = LiteguardClient(TOKEN, bootstrap=bundle)
    assert client.wait_until_ready(0.01) is (bundle is not None)
    assert client.status().role == "stopped"


def test_client_stays_ready_after_shutdown(
    open_guard: Backend, state_dir: Path
) -> None:
    """It goes on answering from its last bundle."""
    with running(open_guard, state_dir) as client:
        assert client.wait_until_ready(0)
    assert client.wait_until_ready(0)


@pytest.mark.parametrize("timeout", [-1, "1", float("nan"), float("inf"), True])
def test_refuses_what_is_no_time(timeout: Any) -> None:
    """The message says what a timeout must be."""
    with pytest.raises(ConfigurationError, match="must be a number of seconds"):
        offline().wait_until_ready(timeout)
