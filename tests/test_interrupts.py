"""Signals of the process do not arrive in the threads of the package."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clients import FAST, TOKEN, guard
from conftest import own_threads
from forking import in_child
from liteguard import LiteguardClient
from liteguard.process.waker import Waker
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

TOLD = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
KEPT_OUT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend."""
    with RecordingServer(guard("a.guard")) as running:
        yield running


def client_of(server: RecordingServer, state_dir: Path) -> LiteguardClient:
    """Return a client that is not started."""
    options: dict[str, Any] = {**FAST, "state_dir": str(state_dir)}
    return LiteguardClient(TOKEN, backend_url=server.url, **options)


def blocked(native_id: int) -> set[int]:
    """Return the signals that a thread does not get."""
    status = Path(f"/proc/self/task/{native_id}/status").read_text()
    (bits,) = (s.split()[1] for s in status.splitlines() if s.startswith("SigBlk"))
    return {number for number in range(1, 65) if int(bits, 16) >> (number - 1) & 1}


def are_kept_out() -> bool:
    """Whether threads of the package run, and none of them gets a signal."""
    found = [blocked(thread.native_id or 0) for thread in own_threads()]
    return bool(found) and all(set(KEPT_OUT) <= each for each in found)


def test_no_thread_of_the_package_gets_a_signal(
    server: RecordingServer, state_dir: Path
) -> None:
    """Whoever starts it, also in a child; and the application's get them as before."""
    with client_of(server, state_dir):
        until(are_kept_out)
        assert all(
            signal.SIGSEGV not in blocked(t.native_id or 0) for t in own_threads()
        )
        assert blocked(threading.get_native_id()) == set()

        def in_this_child() -> list[bool]:
            until(are_kept_out)
            return [are_kept_out(), not blocked(threading.get_native_id())]

        assert in_child(in_this_child) == [True, True]


def test_thread_that_revives_a_child_gets_no_signal() -> None:
    """It is the first one there, and at work when a server may end its worker."""
    told: list[set[int]] = []
    waker = Waker(
        lambda: told.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())), 0.0
    )
    waker.start()
    until(lambda: told)
    waker.cancel(10.0)
    assert set(KEPT_OUT) <= told[0]


def test_callback_runs_with_signals(server: RecordingServer, state_dir: Path) -> None:
    """Programs that it starts can be ended as usual."""
    told: list[str] = []

    def start_a_program(_: object) -> None:
        program = [sys.executable, "-c", TOLD]
        told.append(subprocess.check_output(program, text=True).strip())

    with client_of(server, state_dir) as client:
        client.on_change(start_a_program)
        server.guards.append(guard("new.guard"))
        until(lambda: told)
        until(are_kept_out)
    assert set(told) == {"0"}
