"""Records on their way to a journal: kept while one is made, or a process revives."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Optional

from liteguard.process.turns import locked
from liteguard.telemetry.execution import ExecutionState, SignalRef, current_execution
from liteguard.telemetry.happening import Happening

if TYPE_CHECKING:
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
    """Takes what is recorded while this process has no recorder. Thread-safe.

    Outlives forks: each entry carries the pid of its maker, and in a child what the
    parent had here, entries and losses, is the parent's to write. Bounded: full means
    that the oldest goes, and is counted.

    Args:
        capacity: Most entries kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: deque[tuple[int, Entry]] = deque()
        # By pid: one that another thread held at a fork stays held in the child.
        # Reentrant: a signal handler may check in the middle of a check.
        self._locks: dict[int, threading.RLock] = {}
        self._lost: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many entries are here, those of a parent included."""
        return len(self._entries)

    def record(self, happening: Happening) -> None:
        """Keep a record for the recorder to come; held up for a few instructions."""
        self._keep(Entry(happening, time.time(), current_execution.get()))

    @locked
    def _keep(self, entry: Entry) -> None:
        pid = os.getpid()
        if len(self._entries) >= self._capacity and self._entries.popleft()[0] == pid:
            self._lost = {pid: self._lost.get(pid, 0) + 1}
        self._entries.append((pid, entry))

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

    @locked
    def take(self) -> list[Entry]:
        """Take out what is here, and return what this process has made."""
        pid = os.getpid()
        taken: list[tuple[int, Entry]] = []
        # One by one: a signal handler may take some, or all, in the middle of this.
        with contextlib.suppress(IndexError):
            while self._entries:
                taken.append(self._entries.popleft())
        return [entry for maker, entry in taken if maker == pid]

    @locked
    def take_lost(self) -> int:
        """Return how many entries were dropped since the last time."""
        lost, self._lost = self._lost, {}
        return lost.get(os.getpid(), 0)

    @property
    def _lock(self) -> threading.RLock:
        return self._locks.setdefault(os.getpid(), threading.RLock())
