"""Counts open answers within any sixty seconds, per guard and partition.

The counts are this process's own.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from collections.abc import Mapping

_WINDOW_SECONDS = 60.0
# Up to this limit each answer has a time of its own; above it they share one.
_MOST_EXACT = 60
_MAX_PARTITIONS = 100_000
# The lock is held for microseconds, or for ever: by a thread that a fork left behind.
_LONGEST_WAIT_SECONDS = 0.05


class RateLimits:
    """A sliding window per key. Thread-safe.

    Never lets through more than the limit. Its memory is bounded: a partition holds at
    most 61 times, for limits above 60 by letting answers of the same second count a
    little longer; only partitions idle for a window are dropped, and while there is no
    room for a new one its answer is "no".

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # In the order in which they were last counted.
        self._windows: OrderedDict[tuple[Any, ...], _Window] = OrderedDict()

    def admit(self, key: tuple[Any, ...], limit: int, *, consumes: bool) -> bool:
        """Return whether another open answer fits, and count it if it *consumes*.

        Args:
            key: Guard and partition, as from `partition_key`.
            limit: Most open answers in any 60 seconds.
            consumes: ``False`` to look without counting.
        """
        if not self._lock.acquire(timeout=_LONGEST_WAIT_SECONDS):
            return False
        try:
            return self._admit(key, limit, consumes=consumes)
        finally:
            self._lock.release()

    def _admit(self, key: tuple[Any, ...], limit: int, *, consumes: bool) -> bool:
        now = self._clock()
        self._drop_idle(now)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= _MAX_PARTITIONS:
                return False
            window = _Window()
        if not window.has_room(now, limit):
            return False
        if consumes:
            window.count(now, limit)
            self._windows[key] = window
            self._windows.move_to_end(key)
        return True

    def _drop_idle(self, now: float) -> None:
        # Two for each that can be added: so what is idle is soon gone.
        for _ in range(min(2, len(self._windows))):
            key = next(iter(self._windows))
            if not self._windows[key].is_idle(now):
                return
            del self._windows[key]


class _Window:
    """The open answers of the last 60 seconds: when they stop counting, how many."""

    __slots__ = ("_ends", "_total")

    def __init__(self) -> None:
        self._ends: list[list[float]] = []
        self._total = 0.0

    def has_room(self, now: float, limit: int) -> bool:
        while self._ends and self._ends[0][0] <= now:
            self._total -= self._ends.pop(0)[1]
        return self._total < limit

    def count(self, now: float, limit: int) -> None:
        end = now + _WINDOW_SECONDS
        if limit > _MOST_EXACT:
            end = math.floor(end) + 1.0
        if not self._ends or self._ends[-1][0] < end:
            self._ends.append([end, 0.0])
        self._ends[-1][1] += 1.0
        self._total += 1.0

    def is_idle(self, now: float) -> bool:
        return not self._ends or self._ends[-1][0] <= now


def partition_key(
    guard: str, names: tuple[str, ...], properties: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Return what tells one partition of a guard from another.

    A missing property counts as empty text, and values are told apart by their text,
    so that 1 and "1" share a partition, as in the published package.
    """
    return (guard, *(_text(properties.get(name)) for name in names))


def _text(value: Any) -> str:
    try:
        return "" if value is None else str(value)
    except Exception:  # noqa: BLE001  a value's own code may raise anything
        return ""
