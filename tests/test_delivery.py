"""Real processes that fork and die: every check arrives, and none arrives twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clients import running
from line import Line
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends import Backend

HERE = Path(__file__).resolve().parent
RATES = {
    "LITEGUARD_REFRESH_RATE_SECONDS": "0.2",
    "LITEGUARD_RELOAD_RATE_SECONDS": "0.05",
}
OFTEN = {**RATES, "LITEGUARD_FLUSH_RATE_SECONDS": "0.1"}
RARELY = {**RATES, "LITEGUARD_FLUSH_RATE_SECONDS": "60"}
END_SECONDS = 40.0

BEGIN = """
import multiprocessing, os, random, signal, sys, threading, time
from liteguard import LiteguardClient

client = LiteguardClient(start_timeout_seconds=10)
client.start(strict=True)

def checks(number):
    for _ in range(number):
        assert client.is_open("open.guard")

def in_threads(count, action):
    threads = [threading.Thread(target=action) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def child(action, leave=os._exit):
    pid = os.fork()
    if pid == 0:
        action()
        leave(0)
    return pid

def say(*words):
    print(*words, flush=True)

def killed(_):
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Program:
    """A Python program that uses the client, and speaks line by line.

    Args:
        code: What it does after `BEGIN`.
        backend: Its backend.
        state_dir: Its state folder.
        rates: How often it does what.
        more: More environment variables.
    """

    def __init__(
        self,
        code: str,
        backend: Backend,
        state_dir: Path,
        rates: dict[str, str] = RARELY,
        **more: str,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + code],
            env={
                **os.environ,
                **backend.variables(state_dir),
                **rates,
                **more,
                "PYTHONPATH": str(HERE.parent),
                # Children of programs that run threads are the very point here.
                "PYTHONWARNINGS": "ignore::DeprecationWarning",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def hears(self) -> str:
        """Return the next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.ends()
        return line.strip()

    def goes_on(self) -> None:
        """Let it read one line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ends(self) -> str:
        """Close its input, wait for its end, and return what it complained of.

        Its children, if they are left, end with it.
        """
        try:
            _, complaints = self._process.communicate(timeout=END_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        return complaints


@contextlib.contextmanager
def program(
    code: str,
    backend: Backend,
    state_dir: Path,
    rates: dict[str, str] = RARELY,
    **more: str,
) -> Iterator[Program]:
    """Run a program, and see it end."""
    started = Program(code, backend, state_dir, rates, **more)
    try:
        yield started
    finally:
        started.ends()


def run(
    code: str, backend: Backend, state_dir: Path, rates: dict[str, str] = RARELY
) -> None:
    """Run a program to its end."""
    with program(code, backend, state_dir, rates) as started:
        complaints = started.ends()
        assert "AssertionError" not in complaints, complaints
        assert "liteguard: " not in complaints, complaints


def distinct(backend: Backend) -> int:
    """Return how many different signals have arrived."""
    return backend.signal_summary()["distinct"]


def accounted(backend: Backend) -> int:
    """Return how many signals have arrived or are known to be dropped."""
    summary = backend.signal_summary()
    return summary["distinct"] + summary["droppedSignals"]


def assert_complete(backend: Backend, made: int) -> None:
    """Check that each of *made* checks has arrived."""
    until(lambda: distinct(backend) >= made, lambda: str(backend.signal_summary()))
    summary = backend.signal_summary()
    assert (summary["distinct"], summary["droppedSignals"]) == (made, 0)


def assert_exact(backend: Backend, made: int) -> None:
    """Check that each of *made* checks has arrived, and arrived once.

    Not for processes that are killed while they may be sending.
    """
    assert_complete(backend, made)
    assert backend.signal_summary()["redelivered"] == 0


# -- death


def test_living_process_delivers_what_a_killed_one_recorded(
    open_guard: Backend, state_dir: Path
) -> None:
    """SIGKILL runs no code of ours; the leader finds the journal."""
    victim = "checks(100); say('made'); sys.stdin.read()"
    with (
        program(victim, open_guard, state_dir) as dying,
        program("sys.stdin.read()", open_guard, state_dir, OFTEN),
    ):
        assert dying.hears() == "made"
        dying.kill()
        assert_complete(open_guard, 100)


def test_next_start_delivers_what_a_killed_host_recorded(
    open_guard: Backend, state_dir: Path
) -> None:
    """When every process is gone, records wait for the next one that runs."""
    victim = "checks(100); say('made'); sys.stdin.read()"
    with contextlib.ExitStack() as host:
        dying = [
            host.enter_context(program(victim, open_guard, state_dir)) for _ in range(3)
        ]
        for one in dying:
            one.hears()
        for one in dying:
            one.kill()
    with running(open_guard, state_dir):
        assert_complete(open_guard, 300)


@pytest.mark.parametrize(
    "leave",
    [
        "os._exit",
        "sys.exit",
        "killed",
        "lambda _: 1 / 0",
        "lambda _: os.kill(os.getpid(), signal.SIGTERM) or signal.pause()",
    ],
)
def test_children_that_end_in_any_way_lose_nothing(
    open_guard: Backend, state_dir: Path, leave: str
) -> None:
    """Their parent, who is the only process left, delivers what they could not."""
    run(
        f"""
pids = [child(lambda: checks(20), {leave}) for _ in range(3)]
for pid in pids:
    os.waitpid(pid, 0)
checks(1)
""",
        open_guard,
        state_dir,
    )
    assert_complete(open_guard, 61)


def test_records_of_an_outage_outlive_their_process(
    open_guard: Backend, state_dir: Path
) -> None:
    """The backend is away while they are made and while their process is killed."""
    with Line(open_guard.url) as line:
        code = "say('ready'); sys.stdin.readline(); checks(50); time.sleep(0.3)"
        with program(
            f"{code}; say('made'); sys.stdin.read()",
            open_guard,
            state_dir,
            OFTEN,
            LITEGUARD_BACKEND_URL=line.url,
        ) as dying:
            dying.hears()
            line.cut()
            dying.goes_on()
            dying.hears()
            dying.kill()
        line.restore()
        assert distinct(open_guard) == 0
        with running(open_guard, state_dir, backend_url=line.url):
            assert_complete(open_guard, 50)


def test_kill_between_sending_and_answer_repeats_a_batch_and_loses_none(
    open_guard: Backend, state_dir: Path
) -> None:
    """It comes again with the same ids, so the backend can tell."""
    with Line(open_guard.url) as line:
        with program(
            "say('ready'); sys.stdin.readline(); checks(600); sys.stdin.read()",
            open_guard,
            state_dir,
            # Only signals are sent meanwhile.
            LITEGUARD_REFRESH_RATE_SECONDS="3600",
            LITEGUARD_BACKEND_URL=line.url,
            LITEGUARD_HTTP_TIMEOUT_SECONDS="30",
        ) as dying:
            dying.hears()
            line.stall()
            dying.goes_on()
            assert line.asked.wait(END_SECONDS)
            dying.kill()
            line.restore()
        with running(open_guard, state_dir, backend_url=line.url):
            assert_complete(open_guard, 600)


# -- forks


def test_signals_buffered_before_forks_arrive_once(
    open_guard: Backend, state_dir: Path
) -> None:
    """Ten children inherit them, and none sends them."""
    run(
        """
checks(30)
for pid in [child(lambda: checks(1) or time.sleep(0.3), sys.exit) for _ in range(10)]:
    os.waitpid(pid, 0)
""",
        open_guard,
        state_dir,
        OFTEN,
    )
    assert_exact(open_guard, 40)


@pytest.mark.parametrize("ends", ["sys.exit", "os._exit, killed"])
def test_threads_that_check_while_others_fork_lose_nothing(
    open_guard: Backend, state_dir: Path, ends: str
) -> None:
    """Checks meet parks, seals, revivals and children in every order.

    On a slow machine some find no room; then they are known to be dropped.
    """
    with program(
        f"""
made = []
ends = [{ends}]

def work():
    count = 0
    while not is_over:
        checks(1)
        count += 1
        time.sleep(0.0002)
    made.append(count)

is_over = False
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(12):
    os.waitpid(child(lambda: checks(5), ends[number % len(ends)]), 0)
is_over = True
for thread in threads:
    thread.join()
client.shutdown(20)
say(sum(made) + 60)
""",
        open_guard,
        state_dir,
        OFTEN,
    ) as started:
        made = int(started.hears())
    with running(open_guard, state_dir):
        until(
            lambda: accounted(open_guard) >= made,
            lambda: f"{made} made: {open_guard.signal_summary()}",
        )
    assert accounted(open_guard) == made
    # What is killed may have sent its last batch without having heard of its arrival.
    assert "killed" in ends or open_guard.signal_summary()["redelivered"] == 0


def test_first_checks_of_a_childs_threads_are_all_recorded(
    open_guard: Backend, state_dir: Path
) -> None:
    """One of them revives the process; what the others check meanwhile waits."""
    run(
        """
checks(1)
for pid in [child(lambda: in_threads(8, lambda: checks(25)), killed) for _ in "ab"]:
    os.waitpid(pid, 0)
checks(1)
""",
        open_guard,
        state_dir,
    )
    assert_complete(open_guard, 402)


def test_checks_made_during_a_revival_are_written_when_it_is_over(
    open_guard: Backend, state_dir: Path
) -> None:
    """A child whose other thread revives it, and that is killed soon afterwards."""
    run(
        """
def meet_a_revival():
    with client._lifecycle._revival._turn()._lock:
        checks(3)
    while client.status().role == "parked":
        time.sleep(0.01)

checks(1)
os.waitpid(child(meet_a_revival, killed), 0)
checks(1)
""",
        open_guard,
        state_dir,
    )
    assert_complete(open_guard, 5)


def test_parked_parent_does_not_keep_what_it_had_claimed(
    open_guard: Backend, state_dir: Path
) -> None:
    """It led, could not deliver, forked and never ran again: its child delivers."""
    parent = """
say("ready")
sys.stdin.readline()
checks(40)
os.waitpid(child(lambda: None), 0)
assert not client.flush_signals(2)
say("failed")
sys.stdin.readline()
pid = child(lambda: checks(1) or time.sleep(60))
say(client.status().role)
sys.stdin.readline()
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
os._exit(0)
"""
    with (
        Line(open_guard.url) as line,
        program(
            parent, open_guard, state_dir, OFTEN, LITEGUARD_BACKEND_URL=line.url
        ) as parked,
    ):
        parked.hears()
        line.cut()
        parked.goes_on()
        assert parked.hears() == "failed"
        parked.goes_on()
        assert parked.hears() == "parked"
        line.restore()
        assert_exact(open_guard, 41)
        parked.goes_on()


def test_pool_of_multiprocessing_loses_nothing(
    open_guard: Backend, state_dir: Path
) -> None:
    """Its workers are terminated, or end without atexit."""
    run(
        """
context = multiprocessing.get_context("fork")
checks(1)
with context.Pool(3) as pool:
    pool.map(checks, [10] * 9)
pool.join()
processes = [context.Process(target=checks, args=(10,)) for _ in range(3)]
for process in processes:
    process.start()
for process in processes:
    process.join()
checks(1)
""",
        open_guard,
        state_dir,
    )
    assert_complete(open_guard, 122)


def test_two_clients_of_one_program_share_a_folder(
    open_guard: Backend, state_dir: Path
) -> None:
    """Each delivers its own, whichever leads, and over forks."""
    run(
        """
other = LiteguardClient()
other.start()
first, second = client, other
for client in (first, second):
    checks(10)
for pid in [child(lambda: checks(5), sys.exit) for _ in range(3)]:
    os.waitpid(pid, 0)
client = first
checks(5)
time.sleep(0.3)
""",
        open_guard,
        state_dir,
        OFTEN,
    )
    assert_exact(open_guard, 40)


def test_generations_lose_nothing(open_guard: Backend, state_dir: Path) -> None:
    """Each process forks the next and dies before it."""
    run(
        """
def generation(depth):
    checks(10)
    if depth:
        os.waitpid(child(lambda: generation(depth - 1), killed), 0)

generation(6)
""",
        open_guard,
        state_dir,
    )
    assert_complete(open_guard, 70)


def test_storm_of_forks_and_kills_loses_nothing(
    open_guard: Backend, state_dir: Path, tmp_path: Path
) -> None:
    """Processes are killed at any moment while all of them flush and adopt."""
    storm = """
random.seed(7)
begun, done = (os.open(sys.argv[0] + name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
               for name in ("begun", "done"))

def work():
    for _ in range(40):
        os.write(begun, b".")
        checks(1)
        os.write(done, b".")

for _ in range(6):
    pids = [child(lambda: work() or time.sleep(5)) for _ in range(4)]
    work()
    time.sleep(random.random() / 10)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
killed(0)
"""
    counts = f"sys.argv = [{str(tmp_path)!r} + '/']\n"
    run(counts + storm, open_guard, state_dir, OFTEN)
    begun, done = ((tmp_path / name).stat().st_size for name in ("begun", "done"))
    with running(open_guard, state_dir):
        until(lambda: distinct(open_guard) >= done)
    # A process that is killed between the two may or may not have made its check.
    assert done <= distinct(open_guard) <= begun
    assert begun <= done + 24
    assert open_guard.signal_summary()["droppedSignals"] == 0
