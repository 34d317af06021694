from __future__ import annotations

import random
import threading
import tracemalloc
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forking import fork_without_hooks, in_child
from liteguard.host import rate_limits
from liteguard.host.rate_limits import RateLimits, partition_key

KEY = ("guard",)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.25

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the clock."""
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> RateLimits:
    """Return limits of which nothing is used up."""
    return RateLimits(clock)


def admitted(limits: RateLimits, limit: int, tries: int, key: Any = KEY) -> int:
    """Return how many of *tries* are let through."""
    return sum(limits.admit(key, limit, consumes=True) for _ in range(tries))


@pytest.mark.parametrize("limit", [1, 3, 60, 61, 1000])
def test_as_many_as_the_limit_pass(limits: RateLimits, limit: int) -> None:
    """The limit itself is let through, and not one more."""
    assert admitted(limits, limit, limit * 2) == limit


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_lets_nothing_through(
    limits: RateLimits, limit: int
) -> None:
    """No open answer fits into no room."""
    assert admitted(limits, limit, 3) == 0


@pytest.mark.parametrize("limit", [5, 100])
def test_the_window_slides(limits: RateLimits, clock: Clock, limit: int) -> None:
    """What was used comes back a minute after it was used, not at a boundary."""
    assert admitted(limits, limit, 4) == 4
    clock.now += 30.0
    assert admitted(limits, limit, limit) == limit - 4
    clock.now += 29.9
    assert admitted(limits, limit, limit) == 0
    clock.now += 1.1
    assert admitted(limits, limit, limit) == 4


def test_around_a_boundary_no_more_pass_than_the_limit(
    limits: RateLimits, clock: Clock
) -> None:
    """A burst before and one after the full minute are one burst."""
    clock.now = 1019.99
    assert admitted(limits, 10, 10) == 10
    clock.now = 1020.01
    assert admitted(limits, 10, 10) == 0


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
    limits = RateLimits(clock)
    passed: deque[float] = deque()
    for step in steps:
        clock.now += step
        passed.extend([clock.now] * admitted(limits, limit, burst))
        while passed and passed[0] <= clock.now - 60.0:
            passed.popleft()
        assert len(passed) <= limit


@pytest.mark.parametrize("limit", [60, 61, 600])
def test_a_steady_stream_below_the_limit_passes(
    limits: RateLimits, clock: Clock, limit: int
) -> None:
    """Sharing times costs a stream at nine tenths of its limit nothing."""
    for _ in range(limit * 3):
        clock.now += 60.0 / (limit * 0.9)
        assert limits.admit(KEY, limit, consumes=True)


def test_looking_uses_nothing_up(limits: RateLimits) -> None:
    """A peek tells whether there is room and leaves it there."""
    for _ in range(10):
        assert limits.admit(KEY, 1, consumes=False)
    assert limits.admit(KEY, 1, consumes=True)
    assert not limits.admit(KEY, 1, consumes=False)


def test_what_is_refused_uses_nothing_up(limits: RateLimits, clock: Clock) -> None:
    """A caller that tries on all the time is let in when its time comes."""
    assert admitted(limits, 1, 1) == 1
    for _ in range(59):
        clock.now += 1.0
        assert admitted(limits, 1, 5) == 0
    clock.now += 1.0
    assert admitted(limits, 1, 5) == 1


def test_keys_are_counted_apart(limits: RateLimits) -> None:
    """One guard's, and one partition's, use leaves the others theirs."""
    for key in [("a",), ("b",), ("a", "x"), ("a", "y"), ("a", "")]:
        assert admitted(limits, 2, 5, key) == 2


def test_a_limit_may_change(limits: RateLimits, clock: Clock) -> None:
    """Another bundle's limit counts at once, with what was used before."""
    assert admitted(limits, 100, 50) == 50
    assert admitted(limits, 20, 5) == 0
    assert admitted(limits, 55, 10) == 5
    clock.now += 61.0
    assert admitted(limits, 20, 50) == 20


# -- bounds


def test_memory_does_not_grow_with_the_limit(limits: RateLimits, clock: Clock) -> None:
    """A limit of a million costs as little as one of a hundred."""
    tracemalloc.start()
    for _ in range(3000):
        clock.now += 0.02
        admitted(limits, 1_000_000, 3)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 100_000


def test_idle_partitions_are_dropped(limits: RateLimits, clock: Clock) -> None:
    """What nobody uses for a minute is soon forgotten."""
    for number in range(1000):
        limits.admit(("guard", str(number)), 5, consumes=True)
    clock.now += 60.0
    for _ in range(501):
        limits.admit(KEY, 5, consumes=True)
    assert len(limits._windows) == 1


def test_one_partition_in_use_does_not_keep_the_idle_ones(
    limits: RateLimits, clock: Clock
) -> None:
    """What is used all the time is out of the way of what is to be forgotten."""
    for number in range(10):
        limits.admit((str(number),), 5, consumes=True)
    for _ in range(10):
        clock.now += 15.0
        limits.admit(("0",), 5, consumes=True)
    assert list(limits._windows) == [("0",)]


def test_partitions_in_use_are_never_dropped(
    limits: RateLimits, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """Who goes through many partitions in turn gets round no limit."""
    monkeypatch.setattr(rate_limits, "_MAX_PARTITIONS", 10)
    keys = [("guard", str(number)) for number in range(30)]
    rounds = [[limits.admit(key, 1, consumes=True) for key in keys] for _ in range(5)]
    assert [sum(one) for one in rounds] == [10, 0, 0, 0, 0]
    assert len(limits._windows) == 10
    clock.now += 60.0
    assert limits.admit(keys[-1], 1, consumes=True)


def test_looking_at_many_partitions_keeps_none(limits: RateLimits) -> None:
    """Peeks leave nothing behind."""
    for number in range(100):
        assert limits.admit(("guard", str(number)), 1, consumes=False)
    assert len(limits._windows) == 0


# -- threads and forks


def test_threads_together_get_the_limit(limits: RateLimits) -> None:
    """Threads that compete are let through as often as one would be."""
    passed: list[int] = []
    threads = [
        threading.Thread(target=lambda: passed.append(admitted(limits, 500, 300)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 500


def test_a_lock_that_a_fork_left_held_closes_and_does_not_block(
    limits: RateLimits,
) -> None:
    """Where the lock's holder did not come along the answer is no, and soon."""
    with limits._lock:
        answer = in_child(
            lambda: limits.admit(KEY, 5, consumes=True), fork=fork_without_hooks
        )
    assert answer is False
    assert limits.admit(KEY, 5, consumes=True)


# -- partitions


class Awkward:
    """A value whose text cannot be had."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("no text")


def test_a_partition_is_the_guard_and_the_values_in_order() -> None:
    """The listed properties count, in their order, and no others."""
    properties = {"user": "u", "plan": "p", "other": 1}
    assert partition_key("g", ("plan", "user"), properties) == ("g", "p", "u")
    assert partition_key("g", (), properties) == ("g",)


def test_values_are_told_apart_by_their_text() -> None:
    """As in the published package, 1 and "1" are one partition."""
    keys = {partition_key("g", ("n",), {"n": value}) for value in (1, "1")}
    assert len(keys) == 1
    keys = {partition_key("g", ("n",), {"n": value}) for value in (1, 1.0, True)}
    assert len(keys) == 3


def test_a_missing_value_is_an_empty_text() -> None:
    """Missing, None and empty are one partition."""
    found: list[dict[str, Any]] = [{}, {"n": None}, {"n": ""}]
    assert {partition_key("g", ("n",), properties) for properties in found} == {
        ("g", "")
    }


def test_values_do_not_run_into_one_another() -> None:
    """Separators within values make no two partitions equal."""
    one = partition_key("g", ("a", "b"), {"a": "x|y", "b": "z"})
    other = partition_key("g", ("a", "b"), {"a": "x", "b": "y|z"})
    assert one != other


@pytest.mark.parametrize("value", [Awkward(), [1, {}], b"x", "\ud800", float("nan")])
def test_any_value_can_be_counted(limits: RateLimits, value: object) -> None:
    """No property value makes a check raise."""
    key = partition_key("g", ("n",), {"n": value})
    assert limits.admit(key, 1, consumes=True)
    again = partition_key("g", ("n",), {"n": value})
    assert not limits.admit(again, 1, consumes=True)


def test_many_random_calls_agree_with_a_simple_count(clock: Clock) -> None:
    """For small limits the answers are exactly those of a list of times."""
    chance = random.Random(7)  # noqa: S311  a test that can be repeated
    limits = RateLimits(clock)
    times: dict[int, list[float]] = {n: [] for n in range(5)}
    for _ in range(5000):
        clock.now += chance.expovariate(1.0)
        number = chance.randrange(5)
        recent = [moment for moment in times[number] if moment > clock.now - 60.0]
        fits = len(recent) < 8
        assert limits.admit((number,), 8, consumes=True) is fits
        times[number] = [*recent, clock.now] if fits else recent
