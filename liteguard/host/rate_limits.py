"""Counts open answers within any sixty seconds, per guard and partition.

The counts are this process's own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from collections.abc import Mapping

_WINDOW_SECONDS = 60.0
_MAX_PARTITIONS = 10_000


class RateLimits:
    """A sliding window per key. Thread-safe; the lock is held for a few instructions.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: OrderedDict[tuple[Any, ...], deque[float]] = OrderedDict()

    def admit(self, key: tuple[Any, ...], limit: int, *, consumes: bool) -> bool:
        """Return whether another open answer fits, and count it if it *consumes*.

        Args:
            key: Guard and partition, as from `partition_key`.
            limit: Most open answers in any 60 seconds.
            consumes: ``False`` to look without counting.
        """
        now = self._clock()
        with self._lock:
            window = self._windows.setdefault(key, deque())
            self._windows.move_to_end(key)
            while window and window[0] <= now - _WINDOW_SECONDS:
                window.popleft()
            is_admitted = len(window) < limit
            if is_admitted and consumes:
                window.append(now)
            if len(self._windows) > _MAX_PARTITIONS:
                self._windows.popitem(last=False)
        return is_admitted


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
