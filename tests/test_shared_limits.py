"""Limits of a host: real processes count together, whatever becomes of some of them."""

from __future__ import annotations

import functools
import itertools
import mmap
import os
import random
import signal
import struct
import threading
import time
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable

import pytest

from forking import Child, fork_without_hooks, in_child, living, wait_until
from interrupting import Interruption
from liteguard.host.rate_limits import RateLimits
from liteguard.host.stripes import SPARES, Stripes, lock_count
from liteguard.host.window_files import SharedTable, open_table
from liteguard.host.window_table import Shape
from liteguard.process.clock import host_boot_ns
from liteguard.process.shared_locks import SharedLocks, ThreadLocks
from test_rate_limits import SECRET, admit, limited

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
SHAPE = Shape(stripes=1, windows=4, exact=8, shared=8)
KEY = bytes(range(16))
OTHER = bytes(range(100, 116))
OPENED = struct.Struct("qq")


class FastClock:
    """The host's clock, so much faster that a minute passes in a second."""

    def __init__(self) -> None:
        self._start = host_boot_ns()

    def __call__(self) -> int:
        """Return the time."""
        return self._start + 60 * (host_boot_ns() - self._start)


# -- many processes


@pytest.mark.parametrize("limit", [40, 3000])
def test_sixteen_processes_with_threads_get_the_limit(
    tmp_path: Path, limit: int
) -> None:
    """In no minute more, and in each as many, though one after another is killed."""
    clock, log = FastClock(), tmp_path / "log"
    guard, folder = limited(limit, "user"), tmp_path / "state"
    folder.mkdir()
    chance = random.Random(limit)  # noqa: S311  a test that can be repeated

    def hammer() -> None:
        os.nice(10)  # so that who kills them gets its turn
        limits = RateLimits(SECRET, clock=clock)
        limits.use(folder)
        with log.open("ab", buffering=0) as opened:
            threads = [
                threading.Thread(target=ask, args=(limits, opened.write))
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def ask(limits: RateLimits, tell: Callable[[bytes], object]) -> None:
        while True:
            before = clock()
            if admit(limits, guard, user="u").is_open:
                tell(OPENED.pack(before, clock()))

    children = [Child(hammer) for _ in range(16)]
    killed, started = 0, clock()
    try:
        wait_until(lambda: log.exists() and log.stat().st_size)
        started = clock()
        while clock() - started < 2.3 * MINUTE or killed < 5:
            time.sleep(0.1)
            victim = chance.randrange(16)
            children[victim].kill()
            killed += 1
            children[victim] = Child(hammer)
    finally:
        ended = clock()
        for child in children:
            child.kill()
    opened = sorted(OPENED.iter_unpack(log.read_bytes()))
    assert most_in_a_minute(opened) <= limit
    # Each thread that is killed may have had an answer that it could not tell of.
    whole_minutes = int((ended - started) / MINUTE)
    assert len(opened) >= limit * whole_minutes - 2 * (killed + 16)


def most_in_a_minute(opened: list[tuple[int, int]]) -> int:
    """Return how many answers were given within sixty seconds for certain."""
    afters = sorted(after for _, after in opened)
    return max(
        bisect_left(afters, before + MINUTE) - index
        for index, (before, _) in enumerate(opened)
    )


# -- one process that is stopped or dies


class Trap:
    """Words that send this process a signal at a certain write.

    Args:
        words: The real ones.
        number: Which write is the last, from 0.
        how: The signal.
    """

    def __init__(self, words: Any, number: int, how: signal.Signals) -> None:
        self._words = words
        self._left = number
        self._how = how

    def __getitem__(self, place: Any) -> Any:
        """Read."""
        return self._words[place]

    def __setitem__(self, place: Any, word: int) -> None:
        """Write, unless it is time."""
        if self._left == 0:
            os.kill(os.getpid(), self._how)
        self._left -= 1
        self._words[place] = word


def table_in(folder: Path) -> SharedTable:
    """Open a table of one stripe."""
    return open_table(folder, "test", SHAPE)


def take(table: SharedTable, key: bytes = KEY, limit: int = 5) -> bool:
    """Ask for one more open answer."""
    return table.windows.take(key, limit, consumes=True).fits


def taken(table: SharedTable, key: bytes = KEY, limit: int = 5) -> int:
    """Use a limit up, and return how much of it there was."""
    return sum(take(table, key, limit) for _ in range(limit + 3))


def trapped(folder: Path, number: int, how: signal.Signals, **asked: Any) -> Any:
    """Return an action that takes until a certain write, and tells the answer."""

    def action() -> bool:
        table = table_in(folder)
        trap = Trap(table.windows._words, number, how)
        table.windows._words = table.windows._stripes._words = trap  # type: ignore[assignment]
        return take(table, **asked)

    return action


def is_stopped(child: Child) -> bool:
    """Return whether a child is stopped."""
    with open(f"/proc/{child.pid}/stat") as file:  # noqa: PTH123  a short word
        return file.read().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("limit", [5, 50])
@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("before", [0, 1, 3])
def test_who_is_killed_in_the_middle_leaves_nothing_torn(
    tmp_path: Path, number: int, before: int, limit: int
) -> None:
    """At whichever write it was: it has counted wholly or not at all."""
    table = table_in(tmp_path)
    assert sum(take(table, limit=limit) for _ in range(before)) == before
    assert take(table, OTHER)
    told = told_before_death(trapped(tmp_path, number, signal.SIGKILL, limit=limit))
    counted = limit - before - taken(table, limit=limit)
    # What it could not tell it may have counted already, by the fourth write.
    assert counted == told or (counted == 1 and number > 3)
    assert taken(table, OTHER) == 4
    assert told or number < 7


@pytest.mark.parametrize("kind", [SharedLocks, ThreadLocks])
def test_what_is_raised_in_the_middle_leaves_no_lock_held(
    tmp_path: Path, kind: type
) -> None:
    """A signal handler may raise at each moment; other threads find all locks free."""
    for moment in itertools.count():
        folder = tmp_path / str(moment)
        folder.mkdir()
        table = table_in(folder)
        stripes = table.windows._stripes
        if kind is ThreadLocks:
            stripes._locks = ThreadLocks(lock_count(1))
        interruption = Interruption(moment)
        interruption.run(functools.partial(take, table))
        with ThreadPoolExecutor(1) as other:
            assert other.submit(are_free, stripes).result(), interruption.place
        if not interruption.place:
            break
    assert moment > 15


def are_free(stripes: Stripes) -> bool:
    """Whether the calling thread can take all locks."""
    count = lock_count(1)
    return all(stripes._locks.acquire(index, 0.0) for index in range(count))


def told_before_death(action: Callable[[], bool]) -> bool:
    """Return what a child answers; False if it is killed before it can."""
    child = Child(action)
    with open(child._report, "rb") as report:  # noqa: PTH123  a descriptor
        text = report.read()
    child.wait()
    return b"true" in text


@pytest.mark.parametrize("limit", [5, 50])
@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("others", [1, 4])
def test_who_is_stopped_in_the_middle_stops_nobody(
    tmp_path: Path, number: int, others: int, limit: int
) -> None:
    """The others go on without it, and it counts again what it had not finished."""
    table = table_in(tmp_path)
    take(table, OTHER)
    take(table, limit=limit)
    with living(trapped(tmp_path, number, signal.SIGSTOP, limit=limit)) as child:
        wait_until(lambda: is_stopped(child))
        passed = sum(take(table, limit=limit) for _ in range(others))
        assert taken(table, OTHER) == 4
        os.kill(child.pid, signal.SIGCONT)
        passed += child.result()
    lost = limit - 1 - passed - taken(table, limit=limit)
    # What it could not tell it may have counted already, by the fourth write.
    assert lost == 0 or (lost == 1 and number > 3)


@pytest.mark.parametrize("number", range(14))
def test_who_dies_making_room_leaves_it_to_the_next(
    tmp_path: Path, number: int
) -> None:
    """Also while it moves what a stopped process keeps, at whichever write."""
    table = table_in(tmp_path)
    assert take(table)
    with living(trapped(tmp_path, 1, signal.SIGSTOP)) as stopped:
        wait_until(lambda: is_stopped(stopped))
        told = told_before_death(trapped(tmp_path, number, signal.SIGKILL))
        assert taken(table) == 4 - told
        with living(trapped(tmp_path, 0, signal.SIGSTOP)) as another:
            wait_until(lambda: is_stopped(another))
            assert not take(table)
        os.kill(stopped.pid, signal.SIGCONT)
        assert stopped.result() is False


def test_nobody_waits_twice_for_who_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One check waits and makes room; all later ones find the lock free."""
    table = table_in(tmp_path)
    with living(trapped(tmp_path, 0, signal.SIGSTOP)) as child:
        wait_until(lambda: is_stopped(child))
        assert take(table)
        locks: Any = table.windows._stripes._locks
        monkeypatch.setattr(locks, "_wait", None)
        assert taken(table) == 4


def test_more_may_be_stopped_than_there_is_room_for(tmp_path: Path) -> None:
    """Then the answer is closed, and open again when one of them has ended."""
    table = table_in(tmp_path)
    children: list[Child] = []
    try:
        for _ in range(9):
            # Once the others have made room: after five writes.
            number = 5 if children else 0
            children.append(Child(trapped(tmp_path, number, signal.SIGSTOP)))
            wait_until(lambda: is_stopped(children[-1]))
        assert not take(table)
        children.pop().kill()
        assert taken(table) == 5
    finally:
        for child in children:
            child.kill()


# -- one thread, interrupted


def test_a_check_may_interrupt_another_of_its_own_thread(tmp_path: Path) -> None:
    """A signal handler or finalizer that checks the same guard goes round the lock."""
    nested: list[bool] = []

    def clock() -> int:
        if not nested:
            nested.append(False)
            nested[0] = take(table)
        return host_boot_ns()

    table = open_table(tmp_path, "test", SHAPE, clock=clock)
    assert take(table)
    assert nested == [True]
    assert taken(table) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_signal_handler_raises_leaves_no_lock_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """It is the application's to handle; the next check goes on at once."""
    raising = [True]

    def clock() -> int:
        if raising.pop():
            raise error
        raising.append(False)
        return host_boot_ns()

    table = open_table(tmp_path, "test", SHAPE, clock=clock)
    with pytest.raises(error):
        take(table)
    locks: Any = table.windows._stripes._locks
    monkeypatch.setattr(locks, "_wait", None)
    raising.append(False)
    assert taken(table) == 5


@pytest.mark.parametrize("index", [0, 1])
def test_what_a_signal_handler_raises_in_the_lock_itself_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """Right before or right after it was taken."""
    table = table_in(tmp_path)
    locks: Any = table.windows._stripes._locks
    acquire = locks.acquire

    def interrupted(*arguments: Any) -> Any:
        if index:
            acquire(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(locks, "acquire", interrupted)
    with pytest.raises(KeyboardInterrupt):
        take(table)
    monkeypatch.setattr(locks, "acquire", acquire)
    monkeypatch.setattr(locks, "_wait", None)
    assert taken(table) == 5


def test_what_a_signal_handler_raises_while_room_is_made_takes_no_room(
    tmp_path: Path,
) -> None:
    """However often it does, the next check finishes what was begun."""
    table = table_in(tmp_path)
    words: Any = table.windows._words
    with living(trapped(tmp_path, 0, signal.SIGSTOP)) as child:
        wait_until(lambda: is_stopped(child))
        for _ in range(SPARES + 1):
            trap: Any = Trap(words, 2, signal.SIGINT)
            table.windows._stripes._words = trap
            with pytest.raises(KeyboardInterrupt):
                take(table)
        table.windows._stripes._words = words
        assert taken(table) == 5


# -- forks


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_a_lock_held_by_a_thread_at_a_fork_stays_with_that_thread(
    tmp_path: Path, fork: Callable[[], int]
) -> None:
    """The child waits for the parent's thread, goes on without it, and counts right."""
    entered, leave = threading.Event(), threading.Event()
    parent = threading.get_ident()

    def clock() -> int:
        if threading.get_ident() != parent:
            entered.set()
            leave.wait(20)
        return host_boot_ns()

    table = open_table(tmp_path, "test", SHAPE, clock=clock)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(take(table)))
    thread.start()
    assert entered.wait(20)
    assert in_child(lambda: take(table), fork=fork) is True
    leave.set()
    thread.join()
    assert answers == [True]
    assert taken(table) == 3


def test_a_child_that_is_killed_frees_what_it_holds(tmp_path: Path) -> None:
    """Its own children, which hold a copy of everything, keep no lock alive."""
    table = table_in(tmp_path)
    page = mmap.mmap(-1, 8)

    def hold() -> None:
        assert table.windows._stripes.hold(0) == 0
        pid = fork_without_hooks()
        if pid:
            page[:8] = pid.to_bytes(8, "little")
        signal.pause()

    with living(hold, fork=fork_without_hooks) as child:
        wait_until(lambda: any(page[:8]))
        child.kill()
        grandchild = int.from_bytes(page[:8], "little")
        try:
            locks: Any = table.windows._stripes._locks
            assert locks.acquire(0, 0.0)
            locks.release(0)
        finally:
            os.kill(grandchild, signal.SIGKILL)
