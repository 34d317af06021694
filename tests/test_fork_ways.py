"""Every way in which a process is made from one that runs a client."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from accounts import arrived, checks, deliver_all
from clients import program, running
from forking import (
    CHILD_SECONDS,
    Child,
    as_ordinary_user,
    fork_a_parked_process,
    in_child,
)
from line import Line
from liteguard import Role
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends import Backend
    from liteguard import LiteguardClient


@pytest.fixture
def client(open_guard: Backend, state_dir: Path) -> Iterator[LiteguardClient]:
    """Run a client that flushes only when it is told to."""
    with running(open_guard, state_dir, flush_rate_seconds=60) as started:
        yield started


@contextlib.contextmanager
def checking(client: LiteguardClient, threads: int) -> Iterator[list[int]]:
    """Let threads check without end; the list has each one's number at the end."""
    made: list[int] = []
    go_on = threading.Event()

    def work() -> None:
        count = 0
        while not go_on.wait(0.0005):
            count += client.is_open("open.guard", fallback=False)
        made.append(count)

    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # Python 3.12 and later warn of these threads, which are the test's.
        warnings.simplefilter("ignore", DeprecationWarning)
        working = [pool.submit(work) for _ in range(threads)]
        try:
            yield made
        finally:
            go_on.set()
        for work_done in working:
            work_done.result()


# -- os.fork


def test_ten_generations_all_answer_and_deliver(
    client: LiteguardClient, open_guard: Backend
) -> None:
    """Each checks before and after it forks, and sends what is its own."""

    def generation(left: int) -> int:
        checks(client, 2)
        below = in_child(lambda: generation(left - 1)) if left else 0
        checks(client, 1)
        assert client.flush_signals()
        return below + 1

    assert generation(10) == 11
    assert arrived(open_guard, 33)


def test_generations_made_with_and_without_hooks_all_answer_and_deliver(
    client: LiteguardClient, open_guard: Backend
) -> None:
    """Each generation is made by the other way than the one before."""

    def generation(left: int) -> int:
        checks(client, 2)
        below = 0
        if left:
            fork = fork_a_parked_process if left % 2 else os.fork
            below = in_child(lambda: generation(left - 1), fork=fork)
        checks(client, 1)
        return below + 3

    assert generation(3) == 12
    deliver_all(client, open_guard, 12)


def test_fork_in_a_thread_works(client: LiteguardClient, open_guard: Backend) -> None:
    """Whichever thread forks, child and parent go on."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(checks, client, 1).result()
        pool.submit(in_child, lambda: checks(client, 2)).result()
        pool.submit(checks, client, 1).result()
    deliver_all(client, open_guard, 4)


def test_forks_while_threads_check_lose_nothing(
    client: LiteguardClient, open_guard: Backend
) -> None:
    """Every check of every thread and child arrives once; nothing hangs."""
    with checking(client, 2) as made:
        for _ in range(8):
            in_child(lambda: checks(client, 3))
    deliver_all(client, open_guard, sum(made) + 8 * 3)


def test_fork_while_a_fetch_is_in_flight_and_threads_check(
    open_guard: Backend, state_dir: Path
) -> None:
    """The child answers from what is in force; both follow once the backend answers."""
    with (
        Line(open_guard.url) as line,
        running(
            open_guard, state_dir, backend_url=line.url, flush_rate_seconds=60
        ) as client,
    ):

        def follow() -> int:
            checks(client, 2)
            os.write(tell, b".")
            until(lambda: not client.peek_is_open("open.guard"))
            return os.getpid()

        told, tell = os.pipe()
        line.stall()
        assert line.asked.wait(CHILD_SECONDS)
        with checking(client, 2) as made:
            children = [Child(follow) for _ in range(3)]
            assert [os.read(told, 1) for _ in children] == [b"."] * 3
        open_guard.update_guard("open.guard", defaultValue=False)
        line.restore()
        assert len({child.result() for child in children}) == 3
        until(lambda: not client.peek_is_open("open.guard"))
        os.close(told)
        os.close(tell)
        deliver_all(client, open_guard, sum(made) + 3 * 2)


def test_threads_that_fork_at_once_all_succeed(
    client: LiteguardClient, open_guard: Backend
) -> None:
    """No fork fails, each child answers, and the parent goes on as before."""

    def fork_often() -> set[int]:
        return {_fork_and_answer(client) for _ in range(15)}

    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        warnings.simplefilter("ignore", DeprecationWarning)  # these threads
        ended = [pool.submit(fork_often) for _ in range(4)]
        assert [work.result() for work in ended] == [{0}] * 4
    checks(client, 1)
    until(lambda: client.status().role is Role.LEADER)
    deliver_all(client, open_guard, 4 * 15 + 1)


def _fork_and_answer(client: LiteguardClient) -> int:
    """Let a child make a check and return its wait status: 0 if it was right."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(CHILD_SECONDS)
        os._exit(not client.is_open("open.guard", fallback=False))
    return os.waitpid(pid, 0)[1]


def test_process_that_forks_for_each_job_fetches_and_delivers(
    open_guard: Backend, state_dir: Path
) -> None:
    """No child lives for a whole interval, and the parent makes no check."""
    lifetime_seconds, interval_seconds = 0.1, 0.3
    with running(
        open_guard,
        state_dir,
        refresh_rate_seconds=interval_seconds,
        flush_rate_seconds=interval_seconds,
    ) as client:

        def job() -> bool:
            answer = client.is_open("open.guard")
            threading.Event().wait(lifetime_seconds)
            return answer

        jobs = 0
        for is_open in (True, False, True):
            open_guard.update_guard("open.guard", defaultValue=is_open)
            delivered = open_guard.signal_summary()["distinct"]
            follows = False
            while not follows or open_guard.signal_summary()["distinct"] <= delivered:
                follows = in_child(job) is is_open
                jobs += 1
                assert jobs < 200
        checks(client, 1)
        # A child that ends in the middle of a request leaves its batch to be repeated.
        until(lambda: open_guard.signal_summary()["distinct"] == jobs + 1)


def test_fork_that_fails_leaves_the_parent_as_it_was(open_guard: Backend) -> None:
    """Where the kernel makes no process the parent answers, revives and delivers."""

    def fail_to_fork() -> str:
        with (
            tempfile.TemporaryDirectory(dir="/tmp") as folder,
            running(open_guard, Path(folder), flush_rate_seconds=60) as client,
        ):
            checks(client, 2)
            soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
            resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
            with pytest.raises(BlockingIOError):
                os.fork()
            role = client.status().role
            resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
            checks(client, 1)
            until(lambda: client.status().role is Role.LEADER)
            open_guard.update_guard("open.guard", defaultValue=False)
            until(lambda: not client.peek_is_open("open.guard"))
            return role.value

    assert as_ordinary_user(fail_to_fork) == "parked"
    assert arrived(open_guard, 3)


FORKING_HOOKS = """
import os
from liteguard import LiteguardClient

is_inside = False

def fork_inside():
    global is_inside
    if not is_inside:
        is_inside = True
        pid = os.fork()
        if pid == 0:
            os._exit(not client.is_open("open.guard"))
        assert os.waitpid(pid, 0)[1] == 0
        is_inside = False

def register():
    os.register_at_fork(
        before=fork_inside, after_in_parent=fork_inside, after_in_child=fork_inside
    )

register()
client = LiteguardClient(flush_rate_seconds=60)
client.start()
register()
pid = os.fork()
if pid == 0:
    os._exit(not client.is_open("open.guard"))
assert os.waitpid(pid, 0)[1] == 0
assert client.is_open("open.guard")
client.shutdown()
"""


def test_fork_inside_fork_hooks_of_another_library_works(
    open_guard: Backend, state_dir: Path
) -> None:
    """Before, after and in the child, registered before the client's and after."""
    with program(FORKING_HOOKS, open_guard, state_dir) as process:
        assert process.communicate(timeout=50) == ("", "")
    assert arrived(open_guard, 2 * 3 + 2)


# -- other makers of processes


def test_child_with_a_terminal_of_its_own_works(
    client: LiteguardClient, open_guard: Backend
) -> None:
    """os.forkpty() is a fork like any other."""
    terminals: list[int] = []

    def fork() -> int:
        pid, terminal = os.forkpty()
        terminals.extend([terminal] if pid else [])
        return pid

    assert in_child(lambda: checks(client, 2), fork=fork) != os.getpid()
    os.close(*terminals)
    deliver_all(client, open_guard, 2)


POOLS = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from liteguard import LiteguardClient

client = LiteguardClient(flush_rate_seconds=60)
client.start()

def job(number):
    assert client.is_open("open.guard")
    return os.getpid()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert os.getpid() not in set(pool.map(job, range(6)))
    process = context.Process(target=job, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == 0
    job(0)
    client.shutdown()
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_and_pools_work(
    method: str, open_guard: Backend, state_dir: Path
) -> None:
    """With a client made at import, however the library makes its processes."""
    with program(POOLS, open_guard, state_dir, method) as process:
        assert process.communicate(timeout=50) == ("", "")
    assert arrived(open_guard, 8)


LOOK_AROUND = """
import os, sys
files = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
         if os.path.exists(f"/proc/self/fd/{n}")]
print(len(os.listdir("/proc/self/task")), [f for f in files if sys.argv[1] in f])
"""


def _run(preexec_fn: Callable[[], Any], state_dir: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", LOOK_AROUND, str(state_dir)],
        preexec_fn=preexec_fn,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_program_started_with_a_preexec_function_has_nothing_of_ours(
    client: LiteguardClient, state_dir: Path
) -> None:
    """Neither a thread nor an open file, and no journal is made for it."""
    checks(client, 1)
    before = set(state_dir.rglob("*"))
    assert _run(lambda: None, state_dir) == "1 []\n"
    assert set(state_dir.rglob("*")) == before


def test_check_in_a_preexec_function_is_answered_and_delivered(
    client: LiteguardClient, open_guard: Backend, state_dir: Path
) -> None:
    """The program that follows has nothing of it, and its record waits for a leader."""
    assert _run(lambda: checks(client, 2), state_dir) == "1 []\n"
    checks(client, 1)
    deliver_all(client, open_guard, 3)


GEVENT = """
from gevent import monkey
monkey.patch_all()
import subprocess, sys, threading, time
from liteguard import LiteguardClient

client = LiteguardClient()
client.start()
made = started = 0
is_over = False

def run_programs():
    global started
    while not is_over:
        subprocess.run(["true"], check=True)
        started += 1
        time.sleep(0.1)

running = threading.Thread(target=run_programs)
running.start()
for expected in (True, False, True):
    last = started
    # Goes on for several forks after the change has come.
    while client.is_open("open.guard") is not expected or started < last + 5:
        made += 1
        time.sleep(0.005)
    made += 1
    print(client.status().sent, flush=True)
is_over = True
running.join()
client.shutdown()
print(made)
"""


def test_gevent_application_that_runs_programs_fetches_and_delivers(
    open_guard: Backend, state_dir: Path
) -> None:
    """Each program it starts is a fork with hooks, several in each interval."""
    with program(GEVENT, open_guard, state_dir) as process:
        assert process.stdout is not None
        sent = [int(process.stdout.readline())]
        for is_open in (False, True):
            open_guard.update_guard("open.guard", defaultValue=is_open)
            sent.append(int(process.stdout.readline()))
        made, errors = process.communicate(timeout=50)
        assert errors == ""
    assert sent[0] < sent[1] < sent[2] <= int(made)
    assert arrived(open_guard, int(made))
    assert set(open_guard.poll_summary()["byPid"]) == {str(process.pid)}
