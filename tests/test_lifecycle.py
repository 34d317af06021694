"""Roles, what status() tells, and how a client ends, in real processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clients import TOKEN, prepared, program, running
from conftest import own_threads
from forking import in_child
from line import Line
from liteguard import ClientStatus, LiteguardClient, Role
from liteguard.process.worker import PeriodicWorker
from waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from backends import Backend


ORDINARY_JOIN = PeriodicWorker.join


def test_child_keeps_the_guards_that_it_inherited(
    open_guard: Backend, state_dir: Path
) -> None:
    """A fork makes no process read and compile again what has not changed."""
    with running(open_guard, state_dir, refresh_rate_seconds=60) as client:
        assert client.is_open("open.guard")
        table = client._lifecycle.checker.table
        generation = client.status().generation

        def is_kept() -> bool:
            assert client.is_open("open.guard")
            assert client.status().generation == generation
            return client._lifecycle.checker.table is table

        assert in_child(is_kept)


def test_a_fork_waits_for_no_request(
    open_guard: Backend, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread in a request ends by itself; the one that rests is waited for."""
    waited_for: list[str] = []

    def join(worker: PeriodicWorker, timeout_seconds: float) -> bool:
        waited_for.append(worker._thread.name)
        return ORDINARY_JOIN(worker, timeout_seconds)

    with Line(open_guard.url) as line:
        seldom = {"backend_url": line.url, "flush_rate_seconds": 60}
        with running(open_guard, state_dir, **seldom) as client:
            assert client.is_open("open.guard")
            line.stall()
            assert line.asked.wait(10)
            monkeypatch.setattr(PeriodicWorker, "join", join)
            assert in_child(lambda: client.is_open("open.guard"))
            monkeypatch.undo()
            line.restore()
    assert waited_for == ["liteguard-flush"]


def test_records_of_a_deleted_folder_are_delivered(
    open_guard: Backend, state_dir: Path
) -> None:
    """What only this process still has mapped is sent by what replaces its runtime."""
    with running(open_guard, state_dir, flush_rate_seconds=60) as client:
        for _ in range(7):
            assert client.is_open("open.guard")
        first = client._lifecycle._revival.runtime
        (folder,) = state_dir.iterdir()
        shutil.rmtree(folder)
        until(lambda: client._lifecycle._revival.runtime not in (first, None))
        assert client.is_open("open.guard")
        assert client.flush_signals(10)
        assert open_guard.signal_summary()["distinct"] == 8


def test_check_in_the_middle_of_a_replacement_is_recorded(
    open_guard: Backend, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits on standby until the new runtime is there."""
    with running(open_guard, state_dir) as client:
        assert client.is_open("open.guard")
        lifecycle = client._lifecycle
        reset = lifecycle._contexts.reset_after_fork

        def check_meanwhile() -> None:
            reset()
            other = threading.Thread(target=client.is_open, args=("open.guard",))
            other.start()
            other.join()

        monkeypatch.setattr(lifecycle._contexts, "reset_after_fork", check_meanwhile)
        lifecycle._revival.replace()
        monkeypatch.undo()
        assert client.is_open("open.guard")
    assert open_guard.signal_summary()["distinct"] == 3


# -- another process

TELLING = """
import json, sys
from liteguard import LiteguardClient

client = LiteguardClient()
client.start()
for _ in sys.stdin:
    answer = client.is_open("open.guard")
    status = client.status()
    print(json.dumps({"answer": answer, "role": status.role, "pid": status.pid,
                      "generation": status.generation}), flush=True)
client.shutdown()
"""


class Other:
    """Another process of the host, which tells of itself when asked.

    Args:
        process: It runs what is above.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self) -> dict[str, Any]:
        """Let it make a check and tell its answer and role."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()


@contextlib.contextmanager
def another_process(backend: Backend, state_dir: Path) -> Iterator[Other]:
    """Run another process of the host."""
    with program(TELLING, backend, state_dir) as process:
        yield Other(process)


# -- roles


def test_second_process_follows_and_sees_every_change(
    open_guard: Backend, state_dir: Path
) -> None:
    """One process asks the backend; the other reads what the first has written."""
    with running(open_guard, state_dir) as client:
        with another_process(open_guard, state_dir) as other:
            told = other.tell()
            assert (told["answer"], told["role"]) == (True, "follower")
            assert told["generation"] == client.status().generation
            assert client.status().role is Role.LEADER
            open_guard.update_guard("open.guard", defaultValue=False)
            until(lambda: not other.tell()["answer"])
        assert set(open_guard.poll_summary()["byPid"]) == {str(os.getpid())}


def test_follower_leads_when_the_leader_ends(
    open_guard: Backend, state_dir: Path
) -> None:
    """After a shutdown the next process asks the backend, without being told."""
    client = prepared(open_guard, state_dir)
    client.start()
    with another_process(open_guard, state_dir) as other:
        assert other.tell()["role"] == "follower"
        client.shutdown()
        until(lambda: other.tell()["role"] == "leader")
        open_guard.update_guard("open.guard", defaultValue=False)
        until(lambda: not other.tell()["answer"])


def test_follower_leads_when_the_leader_is_killed(
    open_guard: Backend, state_dir: Path
) -> None:
    """SIGKILL leaves no lock behind."""
    with another_process(open_guard, state_dir) as other:
        assert other.tell()["role"] == "leader"
        with running(open_guard, state_dir) as client:
            assert client.status().role is Role.FOLLOWER
            other.kill()
            until(lambda: client.status().role is Role.LEADER)
            open_guard.update_guard("open.guard", defaultValue=False)
            until(lambda: not client.is_open("open.guard"))


def test_client_that_is_not_running_is_stopped(
    open_guard: Backend, state_dir: Path
) -> None:
    """Before start() and after shutdown()."""
    client = prepared(open_guard, state_dir)
    assert client.status() == ClientStatus(Role.STOPPED, os.getpid())
    client.start()
    assert client.status().role is Role.LEADER
    client.shutdown()
    assert client.status().role is Role.STOPPED


# -- what status() tells


def test_status_tells_of_the_bundle(open_guard: Backend, state_dir: Path) -> None:
    """Etag, number of guards and age are the bundle's; the generation grows."""
    with running(open_guard, state_dir) as client:
        first = client.status()
        assert first.ready
        assert first.pid == os.getpid()
        assert first.etag
        assert first.guards == 1
        assert first.bundle_age_seconds is not None
        assert first.bundle_age_seconds >= 0
        assert first.last_error is None
        assert Path(str(first.state_dir)).is_relative_to(state_dir)
        open_guard.create_guard("another.guard")
        until(lambda: client.status().guards == 2)
        second = client.status()
        assert second.generation > first.generation > 0
        assert second.etag != first.etag
        assert second.refreshes > first.refreshes >= 1


def test_status_counts_checks_until_they_are_delivered(
    open_guard: Backend, state_dir: Path
) -> None:
    """What was made is buffered first and sent then; unadopted guards do not count."""
    with running(open_guard, state_dir, flush_rate_seconds=60) as client:
        for _ in range(3):
            client.is_open("open.guard")
        client.is_open("unheard.of")
        client.peek_is_open("open.guard")
        status = client.status()
        assert (status.checks, status.buffered, status.sent) == (3, 3, 0)
        assert client.flush_signals()
        status = client.status()
        assert (status.checks, status.buffered, status.sent) == (3, 0, 3)
        assert status.dropped == 0


def test_status_counts_what_the_buffer_could_not_hold(
    open_guard: Backend, state_dir: Path
) -> None:
    """Checks made equal signals delivered plus signals reported as dropped."""
    small = {"flush_size": 4, "flush_buffer_multiplier": 2, "flush_rate_seconds": 60}
    with Line(open_guard.url) as line:
        options = {**small, "backend_url": line.url, "quiet": True}
        with running(open_guard, state_dir, **options) as client:
            line.cut()
            for _ in range(50):
                client.is_open("open.guard")
            line.restore()
            until(client.flush_signals)
            summary = open_guard.signal_summary()
            assert summary["distinct"] + summary["droppedSignals"] == 50
            assert summary["droppedSignals"] > 0
            status = client.status()
            assert status.sent == summary["distinct"]
            assert status.dropped == summary["droppedSignals"]


def test_status_cannot_be_edited() -> None:
    """It is a view of one moment."""
    status: Any = LiteguardClient(TOKEN).status()
    with pytest.raises(FrozenInstanceError):
        status.role = Role.LEADER


def test_role_is_shown_as_its_value() -> None:
    """So that it reads well in logs and encodes as text."""
    assert f"{Role.LEADER}" == json.loads(json.dumps(Role.LEADER)) == "leader"


# -- the end


def test_shutdown_delivers_and_leaves_no_thread(
    open_guard: Backend, state_dir: Path
) -> None:
    """What was recorded arrives although no flush was due."""
    client = prepared(open_guard, state_dir, flush_rate_seconds=60)
    client.start()
    client.is_open("open.guard")
    client.is_open("unheard.of")
    client.shutdown()
    assert own_threads() == set()
    assert open_guard.signal_summary()["distinct"] == 1
    assert set(open_guard.observations()) == {"unheard.of"}


def test_shutdown_is_idempotent(open_guard: Backend, state_dir: Path) -> None:
    """Before start(), and any number of times after it, it does nothing more."""
    client = prepared(open_guard, state_dir)
    client.shutdown()
    client.start()
    client.is_open("open.guard")
    for _ in range(3):
        client.shutdown()
    assert open_guard.signal_summary()["total"] == 1


def test_checks_after_shutdown_answer_and_are_not_recorded(
    open_guard: Backend, state_dir: Path
) -> None:
    """The last bundle stays in force; nothing starts again by itself."""
    client = prepared(open_guard, state_dir)
    with client:
        pass
    assert client.is_open("open.guard")
    assert client.evaluate("open.guard").reason == "default_value"
    assert client.execute_if_open("open.guard", lambda: 7) == 7
    assert client.flush_signals()
    assert own_threads() == set()
    assert open_guard.signals() == []


def test_shutdown_ends_in_time_while_the_backend_hangs(
    open_guard: Backend, state_dir: Path
) -> None:
    """It returns while its request still waits; the signals arrive later, once."""
    with Line(open_guard.url) as line:
        options = {"backend_url": line.url, "http_timeout_seconds": 60, "quiet": True}
        client = prepared(open_guard, state_dir, **options, flush_rate_seconds=60)
        client.start()
        client.is_open("open.guard")
        line.stall()
        ending = threading.Thread(target=client.shutdown, args=(0.3,))
        ending.start()
        until(line.asked.is_set)
        ending.join(20)
        has_ended = not ending.is_alive()
        line.cut()
        ending.join()
        assert has_ended
        line.restore()
        with running(open_guard, state_dir, **options):
            until(lambda: open_guard.signal_summary()["total"])
    assert open_guard.signal_summary()["distinct"] == 1


def test_what_shutdown_could_not_deliver_is_delivered_later(
    open_guard: Backend, state_dir: Path
) -> None:
    """The records rest in the state folder until a process of the host comes by."""
    with Line(open_guard.url) as line:
        options = {"backend_url": line.url, "quiet": True}
        with running(open_guard, state_dir, **options) as client:
            line.cut()
            for _ in range(5):
                client.is_open("open.guard")
        assert open_guard.signals() == []
        line.restore()
        with running(open_guard, state_dir, **options):
            until(lambda: open_guard.signal_summary()["distinct"] == 5)
        assert open_guard.signal_summary()["redelivered"] == 0


def test_shutdown_while_another_thread_checks_loses_nothing(
    open_guard: Backend, state_dir: Path
) -> None:
    """What was counted as made is delivered; later checks answer all the same."""
    client = prepared(open_guard, state_dir)
    client.start()
    go_on = threading.Event()
    go_on.set()

    def check() -> None:
        while go_on.is_set():
            assert client.is_open("open.guard")

    threads = [threading.Thread(target=check) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: client.status().checks > 300)
    client.shutdown(30)
    go_on.clear()
    for thread in threads:
        thread.join()
    status, summary = client.status(), open_guard.signal_summary()
    assert status.checks == status.sent + status.dropped
    assert (status.sent, status.buffered) == (summary["distinct"], 0)
    assert status.dropped == summary["droppedSignals"]


ENDINGS = {
    "return": "",
    "sys.exit": "import sys; sys.exit(0)",
    "exception": "raise LookupError('of the application')",
    "SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "os._exit": "import os; os._exit(0)",
}
CHECKING = """
from liteguard import LiteguardClient

client = LiteguardClient(flush_rate_seconds=60)
client.start()
assert client.is_open("open.guard")
"""


@pytest.mark.parametrize("ending", ["return", "sys.exit", "exception"])
def test_ordinary_end_of_a_program_delivers(
    open_guard: Backend, state_dir: Path, ending: str
) -> None:
    """Nobody has to call shutdown()."""
    with program(CHECKING + ENDINGS[ending], open_guard, state_dir) as process:
        _, complaints = process.communicate(timeout=30)
    assert ("LookupError" in complaints) == (ending == "exception")
    assert "liteguard:" not in complaints
    assert open_guard.signal_summary()["total"] == 1


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGKILL", "os._exit"])
def test_next_process_delivers_what_a_sudden_end_left(
    open_guard: Backend, state_dir: Path, ending: str
) -> None:
    """No handler ran; the record is sent once by whoever comes next."""
    with program(CHECKING + ENDINGS[ending], open_guard, state_dir) as process:
        process.communicate(timeout=30)
    status = -getattr(signal, ending, 0)
    assert process.returncode == status
    assert open_guard.signals() == []
    with running(open_guard, state_dir):
        until(lambda: open_guard.signal_summary()["total"] == 1)


@pytest.mark.parametrize("method", ["shutdown", "flush_signals"])
def test_timeout_may_be_zero(open_guard: Backend, state_dir: Path, method: str) -> None:
    """It means: do what needs no waiting."""
    with running(open_guard, state_dir) as client:
        getattr(client, method)(0)
        getattr(client, method)(timeout=1)


def test_flush_tells_whether_everything_was_delivered(
    open_guard: Backend, state_dir: Path
) -> None:
    """It does not while the backend cannot be reached, and keeps the records."""
    with Line(open_guard.url) as line:
        options = {"backend_url": line.url, "quiet": True, "flush_rate_seconds": 60}
        with running(open_guard, state_dir, **options) as client:
            client.is_open("open.guard")
            line.cut()
            assert client.flush_signals() is False
            assert client.status().buffered == 1
            line.restore()
            assert client.flush_signals() is True
    assert open_guard.signal_summary()["distinct"] == 1


def test_full_buffer_is_delivered_before_the_next_flush_is_due(
    open_guard: Backend, state_dir: Path
) -> None:
    """At flush_size records the flush thread is woken."""
    options = {"flush_size": 10, "flush_rate_seconds": 60}
    with running(open_guard, state_dir, **options) as client:
        for _ in range(10):
            client.is_open("open.guard")
        until(lambda: open_guard.signal_summary()["distinct"] == 10)
        until(lambda: client.status().sent == 10)


WITHOUT_THREADS = """
import logging, resource, sys, threading
from liteguard import LiteguardClient

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
client = LiteguardClient(start_timeout_seconds=0.1)
with open("/proc/self/statm") as statm:
    kilobytes = int(statm.read().split()[0]) * 4
_, hard = resource.getrlimit(resource.RLIMIT_AS)
threading.stack_size(1 << 30)
resource.setrlimit(resource.RLIMIT_AS, ((kilobytes << 10) + (1 << 28), hard))
client.start()
print(client.is_open("open.guard"), client.status().role)
threading.stack_size(0)
while not client.is_open("open.guard"):
    threading.Event().wait(0.05)
print(client.is_open("open.guard"), client.status().role)
client.shutdown()
"""


def test_client_runs_as_soon_as_threads_can_be_started(
    open_guard: Backend, state_dir: Path
) -> None:
    """Where none can be, checks answer the fallback and a line says why, once."""
    with program(WITHOUT_THREADS, open_guard, state_dir) as process:
        printed, complaints = process.communicate(timeout=50)
    assert complaints == ""
    why, before, *meanwhile, after = printed.splitlines()
    assert why.startswith("liteguard: cannot run in process")
    assert "can't start new thread" in why
    assert (before, after) == ("False parked", "True leader")
    assert sorted(meanwhile) == [
        "liteguard: runs again in this process",
        "liteguard: this process leads its host",
    ]
