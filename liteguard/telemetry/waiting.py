"""Records on their way to a journal: kept while one is made, or a process revives."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.telemetry.execution import ExecutionState, SignalRef, current_execution
from liteguard.telemetry.happening import Happening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Entry:
    """A happening on its way into a journal, perhaps by another thread's hand."""

    __slots__ = ("happening", "now", "reference", "state")

    def __init__(
        self, happening: Happening, now: float, state: Optional[ExecutionState]
    ) -> None:
        self.happening = happening
        self.now = now
        self.state = state
        self.reference: Optional[SignalRef] = None


class Standby:
    """Takes what is recorded while this process has no recorder. Without a lock.

    Outlives forks: each entry carries the pid of its maker, and in a child what the
    parent had here is the parent's to write. Bounded: full means that the oldest goes,
    and is counted.

    Args:
        capacity: Most entries kept.
    """

    def __init__(self, capacity: int) -> None:
        self._entries: deque[tuple[int, int, Entry]] = deque(maxlen=capacity)
        self._next_number: Callable[[], int] = itertools.count(1).__next__
        self._last_taken = 0
        self._lost = 0

    def __len__(self) -> int:
        """Return how many entries are here, those of a parent included."""
        return len(self._entries)

    def record(self, happening: Happening) -> None:
        """Keep a record for the recorder to come. Never blocks."""
        entry = Entry(happening, time.time(), current_execution.get())
        self._entries.append((self._next_number(), os.getpid(), entry))

    def record_check(
        self,
        guard: str,
        flags: int,
        properties: bytes,
        frame: FrameType,
        is_measured: bool,  # noqa: FBT001  as the recorder has it
        limits: bytes = b"",
    ) -> None:
        """Keep a record of a check; as `record`."""
        code, instruction = frame.f_code, frame.f_lasti
        self.record(
            Happening(guard, flags, properties, code, instruction, is_measured, limits)
        )

    def journal_of(self, signal: SignalRef) -> None:
        """Return none: there is no journal yet."""

    def drain(self) -> None:
        """Do nothing: there is no journal yet."""

    def count(self, name: str, now: float) -> None:
        """Leave out an observation: it is a statistic, unlike a record."""

    def take(self) -> Iterator[Entry]:
        """Take out what is here, and yield what this process has made."""
        while self._entries:
            try:
                number, pid, entry = self._entries.popleft()
            except IndexError:  # another thread was quicker
                return
            # Numbers run on over what was dropped. Two threads may append in another
            # order than they drew their numbers: over all, the differences cancel out.
            self._lost += number - self._last_taken - 1
            self._last_taken = number
            if pid == os.getpid():
                yield entry

    def take_lost(self) -> int:
        """Return how many entries were dropped since the last time."""
        lost, self._lost = self._lost, 0
        return lost
