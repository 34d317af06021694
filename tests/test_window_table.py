"""Sliding windows: how many pass in any minute, and how much room they take."""

from __future__ import annotations

import contextlib
import functools
import random
import signal
import threading
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteguard.host import rate_limits, stripes
from liteguard.host.stripes import lock_count
from liteguard.host.window_files import own_memory
from liteguard.host.window_table import Shape, WindowTable
from liteguard.process.shared_locks import ThreadLocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECOND = 1_000_000_000
SHAPE = Shape(stripes=2, windows=4, exact=60, shared=60)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000 * SECOND + 123_456_789

    def __call__(self) -> int:
        """Return the time."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * SECOND)


def key(number: int) -> bytes:
    """Return the digest of one of many keys, which fall into stripes in turn."""
    rest = blake2b(number.to_bytes(8, "little"), digest_size=14).digest()
    return number.to_bytes(2, "little") + rest


def table_of(clock: Callable[[], int], shape: Shape = SHAPE) -> WindowTable:
    """Return a table of which nothing is used up."""
    memory = own_memory(shape.size)
    return WindowTable(memory, shape, ThreadLocks(lock_count(shape.stripes)), clock)


@pytest.fixture
def clock() -> Clock:
    """Return the clock."""
    return Clock()


@pytest.fixture
def table(clock: Clock) -> WindowTable:
    """Return a table of which nothing is used up."""
    return table_of(clock)


def admitted(table: WindowTable, limit: int, tries: int, number: int = 0) -> int:
    """Return how many of *tries* pass."""
    counts = (table.take(key(number), limit, consumes=True) for _ in range(tries))
    return sum(count.fits for count in counts)


@pytest.mark.parametrize("limit", [1, 3, 60, 61, 1000])
def test_as_many_as_the_limit_pass(table: WindowTable, limit: int) -> None:
    """The limit itself passes, and not one more."""
    assert admitted(table, limit, limit * 2) == limit


@pytest.mark.parametrize("limit", [5, 100])
def test_the_window_slides(table: WindowTable, clock: Clock, limit: int) -> None:
    """What was used comes back a minute after it was used, not at a boundary."""
    assert admitted(table, limit, 4) == 4
    clock.wait(30.0)
    assert admitted(table, limit, limit) == limit - 4
    clock.wait(29.9)
    assert admitted(table, limit, limit) == 0
    clock.wait(1.3)
    assert admitted(table, limit, limit) == 4


def test_what_was_used_comes_back_within_a_millisecond(
    table: WindowTable, clock: Clock
) -> None:
    """A minute is a minute, however it is cut."""
    for _ in range(60):
        assert admitted(table, 60, 2) <= 2
        clock.wait(0.5)
    clock.wait(29.999)
    assert admitted(table, 60, 60) == 0
    clock.wait(0.002)
    assert admitted(table, 60, 60) == 2


@given(
    limit=st.sampled_from([1, 2, 7, 59, 60, 61, 90, 200]),
    steps=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=60),
    burst=st.integers(1, 80),
)
def test_in_no_minute_more_pass_than_the_limit(
    limit: int, steps: list[float], burst: int
) -> None:
    """Whenever answers come, no sixty seconds hold more than the limit."""
    clock = Clock()
    table = table_of(clock)
    passed: deque[int] = deque()
    for step in steps:
        clock.wait(step)
        passed.extend([clock.now] * admitted(table, limit, burst))
        while passed and passed[0] <= clock.now - 60 * SECOND:
            passed.popleft()
        assert len(passed) <= limit


@pytest.mark.parametrize("limit", [60, 61, 600])
def test_a_steady_stream_below_the_limit_passes(
    table: WindowTable, clock: Clock, limit: int
) -> None:
    """Sharing times costs a stream at nine tenths of its limit nothing."""
    for _ in range(limit * 3):
        clock.wait(60.0 / (limit * 0.9))
        assert table.take(key(0), limit, consumes=True).fits


@pytest.mark.parametrize(
    ("limit", "longest"), [(60, 60.001), (61, 61.04), (9999, 61.04)]
)
def test_a_minute_is_as_long_as_is_said(
    table: WindowTable, clock: Clock, limit: int, longest: float
) -> None:
    """All of a limit is there again after a minute, or 1.8 % more above the ring."""
    for _ in range(5):
        assert admitted(table, limit, limit + 1) == limit
        clock.wait(longest)


@pytest.mark.parametrize(("limit", "longest_ms"), [(8, 2500), (900, 25)])
def test_many_random_calls_agree_with_a_simple_count(
    clock: Clock, limit: int, longest_ms: int
) -> None:
    """The answers are exactly those of a list of times for each key."""
    chance = random.Random(7)  # noqa: S311  a test that can be repeated
    table = table_of(clock, Shape(1, 8, 8 * 1024, 10))
    times: dict[int, deque[int]] = {n: deque() for n in range(5)}
    for _ in range(20_000):
        clock.now = (clock.now // 1_000_000 + chance.randrange(longest_ms)) * 1_000_000
        number = chance.randrange(5)
        recent = times[number]
        while recent and recent[0] <= clock.now - 60 * SECOND:
            recent.popleft()
        fits = len(recent) < limit
        count = table.take(key(number), limit, consumes=True)
        assert count == (fits, len(recent) + 1)
        if fits:
            recent.append(clock.now)


@pytest.mark.parametrize("limit", [513, 50_000])
def test_any_limit_of_a_whole_guard_is_exact(clock: Clock, limit: int) -> None:
    """To the millisecond, also where somebody asks in each one."""
    table = table_of(clock, rate_limits.SHAPES["guards"])
    clock.now = 10**12
    for millisecond in range(90_000):
        expected = millisecond % 60_000 < limit
        assert table.take(key(0), limit, consumes=True).fits is expected
        clock.wait(0.001)


def test_a_log_never_overflows(clock: Clock) -> None:
    """However many windows share it, and however much is asked of them."""
    chance = random.Random(7)  # noqa: S311  a test that can be repeated
    shape = Shape(1, 8, 40, 12)
    table = table_of(clock, shape)
    longest = 0
    for _ in range(10_000):
        clock.wait(chance.choice((0.0, 0.001, 0.03, 0.03, 2.0)))
        table.take(key(chance.randrange(8)), 10**6, consumes=True)
        entries = log_of(table)
        longest = max(longest, len(entries))
        assert entries == sorted(entries)
    assert shape.exact < longest <= shape.log


def log_of(table: WindowTable) -> list[int]:
    """Return until when each entry of the first stripe's log counts."""
    state_at, size = table._state_of(0), table._log_size
    first, length = divmod(table._words[state_at], 1 << 32)
    log = table._words[state_at + table._log :][:size].tolist()
    return [log[(first + place) % size] >> 24 for place in range(length)]


def test_looking_uses_nothing_up(table: WindowTable) -> None:
    """A peek tells whether there is room and leaves it there."""
    for _ in range(10):
        assert table.take(key(0), 1, consumes=False) == (True, 1)
    assert table.take(key(0), 1, consumes=True) == (True, 1)
    assert table.take(key(0), 1, consumes=False) == (False, 2)


def test_what_is_refused_uses_nothing_up(table: WindowTable, clock: Clock) -> None:
    """A caller that tries on all the time is let in when its time comes."""
    assert admitted(table, 1, 1) == 1
    for _ in range(59):
        clock.wait(1.0)
        assert admitted(table, 1, 5) == 0
    clock.wait(1.001)
    assert admitted(table, 1, 5) == 1


def test_keys_are_counted_apart(table: WindowTable) -> None:
    """What one key has used leaves the others theirs."""
    for number in range(8):
        assert admitted(table, 2, 5, number) == 2


def test_a_limit_may_change(table: WindowTable, clock: Clock) -> None:
    """Another bundle's limit counts at once, with what was used before."""
    assert admitted(table, 100, 50) == 50
    assert admitted(table, 20, 5) == 0
    assert admitted(table, 55, 10) == 5
    for _ in range(200):
        clock.wait(0.1)
        table.take(key(0), 60, consumes=True)
    assert admitted(table, 1000, 2000) == 940
    clock.wait(62.0)
    assert admitted(table, 20, 50) == 20


# -- bounds


def test_a_window_in_use_makes_no_room(table: WindowTable, clock: Clock) -> None:
    """Who goes through many keys in turn gets round no limit."""
    rounds = [[admitted(table, 1, 1, number) for number in range(30)] for _ in range(5)]
    assert [sum(one) for one in rounds] == [8, 0, 0, 0, 0]
    assert table.take(key(29), 1, consumes=True) == (False, None)
    clock.wait(60.001)
    assert table.take(key(29), 1, consumes=True) == (True, 1)


def test_an_idle_window_makes_room(table: WindowTable, clock: Clock) -> None:
    """What nobody used for a minute is forgotten for another key, and only that."""
    for number in (0, 2, 4, 6):
        admitted(table, 1, 1, number)
        clock.wait(20.001)
    assert table.take(key(8), 1, consumes=True) == (True, 1)
    assert table.take(key(10), 1, consumes=True) == (True, 1)
    assert table.take(key(12), 1, consumes=True) == (False, None)
    assert table.take(key(4), 1, consumes=True) == (False, 2)
    assert table.take(key(6), 1, consumes=True) == (False, 2)


def test_looking_at_many_keys_takes_no_room(table: WindowTable) -> None:
    """Peeks leave nothing behind."""
    for number in range(100):
        assert table.take(key(number), 1, consumes=False).fits
    assert admitted(table, 1, 1, 200) == 1


@pytest.mark.parametrize("windows", [4, 64])
def test_a_window_that_is_used_anew_remembers_nothing(
    clock: Clock, windows: int
) -> None:
    """A key gets all of its limit, whatever was counted in its place before."""
    table = table_of(clock, Shape(1, windows, 10 * windows, 10))
    for number in range(windows * 5):
        if number % windows == 0:
            clock.wait(60.001)
        assert admitted(table, 7, 9, number) == 7


def test_threads_together_get_the_limit(table: WindowTable) -> None:
    """Threads that compete pass as often as one would."""
    passed: list[int] = []
    threads = [
        threading.Thread(target=lambda: passed.append(admitted(table, 500, 300)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 500


# -- one thread, interrupted


class TimesUp(Exception):
    """What the signal handler of a task queue raises."""


@pytest.fixture
def soon() -> Iterator[Callable[[], object]]:
    """Return what has a signal handler raise `TimesUp` after a moment."""

    def raise_it(*_: object) -> None:
        raise TimesUp

    earlier = signal.signal(signal.SIGALRM, raise_it)
    yield functools.partial(signal.setitimer, signal.ITIMER_REAL, 0.01)
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, earlier)


@contextlib.contextmanager
def held_by_another_thread(table: WindowTable) -> Iterator[None]:
    """Have another thread hold the lock of the first stripe."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        region = table._stripes.hold(0)
        assert region is not None
        entered.set()
        leave.wait(20)
        table._stripes.release(region, is_whole=True)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert entered.wait(20)
        yield
    finally:
        leave.set()
        thread.join()


def test_who_is_interrupted_while_waiting_releases_no_lock_of_another_thread(
    table: WindowTable, soon: Callable[[], object]
) -> None:
    """What the handler raises reaches the application; the holder counts on alone."""
    locks: Any = table._stripes._locks
    with held_by_another_thread(table):
        soon()
        with pytest.raises(TimesUp):
            table.take(key(0), 5, consumes=True)
        assert not locks.acquire(0, 0.0)
    assert locks.acquire(0, 0.0)
    locks.release(0)


def test_a_check_may_interrupt_another_of_its_own_thread(clock: Clock) -> None:
    """A signal handler that checks the same guard goes round the lock, at once."""
    nested: list[bool] = []

    def interrupted() -> int:
        if not nested:
            nested.append(False)
            nested[0] = mine.take(key(0), 5, consumes=True).fits
        return clock()

    mine = table_of(interrupted)
    assert mine.take(key(0), 5, consumes=True) == (True, 2)
    assert nested == [True]
    assert admitted(mine, 5, 5) == 3


class Interrupted:
    """Words that a signal handler raises at, instead of a certain write."""

    def __init__(self, words: Any, number: int) -> None:
        self._words = words
        self._left = number

    def __getitem__(self, place: Any) -> Any:
        """Read."""
        return self._words[place]

    def __setitem__(self, place: Any, word: int) -> None:
        """Write, unless it is time."""
        self._left -= 1
        if self._left == -1:
            raise TimesUp
        self._words[place] = word


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("before", [0, 1, 3])
def test_who_is_interrupted_in_the_middle_leaves_nothing_torn(
    table: WindowTable, clock: Clock, number: int, before: int
) -> None:
    """At whichever write it was; and a minute later nothing of it is left."""
    assert admitted(table, 5, before) == before
    clock.wait(0.001 * (before > 1))
    words = table._words
    trap: Any = Interrupted(words, number)
    table._words = table._stripes._words = trap
    with contextlib.suppress(TimesUp):
        table.take(key(0), 5, consumes=True)
    table._words = table._stripes._words = words
    counted = 5 - before - admitted(table, 5, 9)
    assert counted == 0 or (counted == 1 and number > 3)
    clock.wait(60.001)
    assert admitted(table, 5, 9) == 5


def test_what_is_raised_while_a_stripe_is_moved_is_what_arrives(
    table: WindowTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an error of the directory, which names no region at that moment."""

    def interrupted(*_: object) -> None:
        raise TimesUp

    table._words[stripes._DIRECTORY_WORD] = stripes._MOVING
    monkeypatch.setattr(table._stripes, "_acquire", interrupted)
    with pytest.raises(TimesUp):
        table.take(key(0), 5, consumes=True)


def test_a_move_that_waits_for_a_spare_is_not_forgotten(
    table: WindowTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another stripe that is to be moved has to wait until it is finished."""
    assert admitted(table, 5, 3, number=1) == 3
    table._words[stripes._MOVE_WORD] = stripes._HALF + 1 + 1
    table._words[stripes._DIRECTORY_WORD + 1] = stripes._MOVING
    find, found = table._stripes._hold_spare, [None]

    def hold_spare() -> Optional[int]:
        return found.pop() if found else find()

    monkeypatch.setattr(table._stripes, "_hold_spare", hold_spare)
    with held_by_another_thread(table):
        assert table.take(key(0), 5, consumes=True) == (False, None)
        assert admitted(table, 5, 5, number=1) == 2
        assert admitted(table, 5, 8) == 5
