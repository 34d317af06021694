"""What this process records: its journal, the ones it has sealed, and their making.

A journal is made at the first record, since many processes never make one. It is
sealed, and another begun, when its room for texts is used up, and at every fork.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.process.logs import Trouble
from liteguard.telemetry.execution import (
    ExecutionState,
    SignalRef,
    current_execution,
    new_id,
    signal_id,
)
from liteguard.telemetry.journal import Journal, JournalFull, LeasedJournal
from liteguard.telemetry.journal_file import JournalFile, Owner
from liteguard.telemetry.journal_folder import create_journal_file
from liteguard.telemetry.measurement import ProcessReadings
from liteguard.telemetry.texts import callsite_at, document_at, name_at
from liteguard.telemetry.waiting import Entry, Standby

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.process.identity import ProcessIdentity
    from liteguard.telemetry.happening import Happening

_TEXT_BYTES = 512 * 1024
_MANY_SEALED = 8
_MAX_SEALED = 50
_ATTEMPTS = 5


class Recorder:
    """Appends to the process's current journal. Thread-safe.

    Recording never waits for another thread's file operation: while one thread makes
    a journal, the others put what they have into a bounded queue.

    Bounded: while as many records as one journal holds, or 50 journals, are sealed and
    wait, no other is begun, and what finds no room in the current one is dropped.

    Args:
        standby: What was recorded before there was a recorder in this process.
        folder: Where journals go; ``None`` keeps them in memory.
        identity: This process.
        capacity: Most unsent records kept in one journal.
        on_many: Called when *flush_size* records, or eight journals, wait.
        flush_size: See *on_many*.
        lease_seconds: How long a journal may be written before another is begun; 0
            sets no limit.
    """

    def __init__(
        self,
        *,
        standby: Standby,
        folder: Optional[Path],
        identity: ProcessIdentity,
        capacity: int,
        flush_size: int,
        on_many: Callable[[], None],
        lease_seconds: float = 0.0,
    ) -> None:
        self._standby = standby
        self._folder = folder
        self._identity = identity
        self._capacity = capacity
        self._flush_size = flush_size
        self._on_many = on_many
        self._lease_ns = int(lease_seconds * 1e9)
        self._readings = ProcessReadings()
        self._making = threading.Lock()
        # Guards the current journal, the sealed ones and the counts; held for a few
        # instructions, since a fork waits for it. Reentrant as the journal's is.
        self._lock = threading.RLock()
        self._journal: Optional[Journal] = None
        self._sealed: list[JournalFile] = []
        self._recorded_before = 0
        self._overflowed = 0
        self._is_closed = False
        self._waiting: deque[Entry] = deque()
        self._trouble = Trouble("liteguard: signals are journalled on disk again")

    def record(self, happening: Happening) -> Optional[SignalRef]:
        """Record what happened; never raises and never waits.

        Returns:
            The signal's reference, or ``None`` if it had to be queued or dropped.
        """
        now = time.time()
        state = current_execution.get()
        journal = self._journal
        if journal is not None:
            reference = self._append(journal, happening, now, state)
            if reference is not None:
                return reference
        entry = Entry(happening, now, state)
        self._queue(entry)
        self.drain()
        return entry.reference

    def seal(self) -> None:
        """End the current journal, without a disk; the next record begins another."""
        with self._lock:
            journal, self._journal = self._journal, None
            if journal is not None and journal.seal():
                self._recorded_before += journal.count
                self._sealed.append(journal.file)

    def close(self, deadline: float) -> None:
        """Write what is queued, and seal for good: what comes later is not recorded.

        Blocks while another thread makes a journal, until *deadline* (monotonic
        seconds) at most.
        """
        is_mine = self._making.acquire(timeout=max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._is_closed = True
        if is_mine:
            self._write_waiting()
            self._making.release()
        self.seal()

    def files(self) -> list[JournalFile]:
        """Return this process's journals, the oldest first."""
        with self._lock:
            journal = self._journal
            return [*self._sealed, *([] if journal is None else [journal.file])]

    def forget_delivered(self) -> None:
        """Drop the sealed journals that are delivered, by whichever process."""
        with self._lock:
            self._sealed = [file for file in self._sealed if file.unsettled()]

    def take_over(
        self, earlier: Recorder, undelivered: int, is_deleted: Callable[[Path], bool]
    ) -> None:
        """Hold from now on what *earlier*, of this process, has only in memory."""
        files = earlier.files()
        left = [file for file in files if file.path is None or is_deleted(file.path)]
        with self._lock:
            self._sealed = [*left, *self._sealed]
            self._overflowed += undelivered

    def drain(self) -> None:
        """Bring what was queued into a journal, unless another thread does so now."""
        for entry in self._standby.take():
            self._queue(entry)
        # Asked again after each release: what came in at the last moment is seen.
        while self._waiting and self._making.acquire(blocking=False):
            try:
                self._write_waiting()
            finally:
                self._making.release()

    def take_overflow(self) -> int:
        """Return how many records found no room since the last time."""
        with self._lock:
            overflowed, self._overflowed = self._overflowed, 0
            return overflowed + self._standby.take_lost()

    @property
    def recorded(self) -> int:
        """How many records this process has made."""
        journal = self._journal
        return self._recorded_before + (0 if journal is None else journal.count)

    @property
    def buffered(self) -> int:
        """How many records of this process are not yet delivered."""
        return len(self._waiting) + sum(file.unsettled() for file in self.files())

    def _queue(self, entry: Entry) -> None:
        with self._lock:
            has_room = len(self._waiting) < self._capacity
            if has_room and not self._is_closed:
                self._waiting.append(entry)
        if not has_room:
            self._count_overflow()

    def _count_overflow(self) -> None:
        with self._lock:
            self._overflowed += 1
            self._recorded_before += 1

    def _write_waiting(self) -> None:
        while self._waiting:
            entry = self._waiting.popleft()
            if not self._write(self._journal, entry) and not self._write_anew(entry):
                self._count_overflow()

    def _write_anew(self, entry: Entry) -> bool:
        # Again, because a fork may seal a journal as soon as it is made.
        for _ in range(_ATTEMPTS):
            journal = self._renew()
            if journal is None or self._write(journal, entry):
                return journal is not None
        return False

    def _write(self, journal: Optional[Journal], entry: Entry) -> bool:
        if journal is not None:
            happening, now, state = entry.happening, entry.now, entry.state
            entry.reference = self._append(journal, happening, now, state)
        return entry.reference is not None

    def _renew(self) -> Optional[Journal]:
        """Begin another journal, if there is room for one."""
        self.forget_delivered()
        waiting = [file.unsettled() for file in self._sealed]
        if sum(waiting) >= self._capacity or len(waiting) >= _MAX_SEALED:
            return None
        self.seal()
        file = self._make_file(Owner(new_id(), self._identity))
        if file is None:
            return None
        if self._lease_ns:
            file.lease(time.monotonic_ns() + self._lease_ns)
        journal = LeasedJournal(file) if self._lease_ns else Journal(file)
        with self._lock:
            self._journal = journal
        if len(self._sealed) >= _MANY_SEALED:
            self._on_many()
        return journal

    def _make_file(self, owner: Owner) -> Optional[JournalFile]:
        sizes = {"capacity": self._capacity, "text_bytes": _TEXT_BYTES}
        try:
            file = create_journal_file(self._folder, owner, **sizes)
        except OSError as error:
            self._trouble.begin(
                "disk",
                "liteguard: cannot journal signals in %s (%s): they are kept in memory "
                "and are lost if this process is killed",
                self._folder,
                error.strerror,
            )
            with contextlib.suppress(OSError):
                return create_journal_file(None, owner, **sizes)
            return None
        self._trouble.end()
        return file

    def _append(
        self,
        journal: Journal,
        happening: Happening,
        now: float,
        state: Optional[ExecutionState],
    ) -> Optional[SignalRef]:
        try:
            fields = self._fields(journal, happening, now, state)
        except JournalFull:
            return None
        number = journal.append(fields)
        if not number:
            return None
        reference = (journal.nonce, number)
        if state is not None:
            state.last_signal = reference
        if number % self._flush_size == 0:
            self._on_many()
        return reference

    def _fields(
        self,
        journal: Journal,
        happening: Happening,
        now: float,
        state: Optional[ExecutionState],
    ) -> tuple[int, ...]:
        parent = happening.parent or (state.last_signal if state else None)
        is_here = parent is not None and parent[0] == journal.nonce
        readings = self._readings.sample(now) if happening.is_measured else b""
        return (
            int(now * 1000),
            parent[1] if parent and is_here else 0,
            happening.duration_ns,
            name_at(journal, happening.guard),
            document_at(journal, happening.properties),
            callsite_at(journal, happening.code, happening.instruction),
            name_at(journal, state.execution_id) if state else 0,
            name_at(journal, signal_id(parent)) if parent and not is_here else 0,
            document_at(journal, readings),
            document_at(journal, happening.limits),
            name_at(journal, happening.error),
            state.next_sequence_number() if state else 1,
            happening.flags,
        )
