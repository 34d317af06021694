"""What this process records: its journal, the ones it has sealed, and their making.

A journal is made at the first record, since many processes never make one. It is
sealed, and another begun, when its room for texts is used up, and at every fork.
"""

from __future__ import annotations

import dis
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
)
from liteguard.telemetry.journal import Journal, JournalFull, LeasedJournal
from liteguard.telemetry.journal_file import (
    JournalFile,
    Owner,
)
from liteguard.telemetry.journal_folder import create_journal_file
from liteguard.telemetry.measurement import ProcessReadings

if TYPE_CHECKING:
    from pathlib import Path
    from types import CodeType

    from liteguard.process.identity import ProcessIdentity
    from liteguard.telemetry.happening import Happening

_TEXT_BYTES = 512 * 1024
_LONGEST_NAME_BYTES = 1024


class Recorder:
    """Appends to the process's current journal. Thread-safe.

    Recording never waits for another thread's file operation: while one thread makes
    a journal, the others put what they have into a bounded queue.

    Args:
        folder: Where journals go; ``None`` keeps them in memory.
        identity: This process.
        capacity: Most unsent records kept in one journal.
        on_many: Called when *flush_size* records wait in the journal.
        flush_size: See *on_many*.
        lease_seconds: How long a journal may be written before another is begun; 0
            sets no limit.
    """

    def __init__(
        self,
        *,
        folder: Optional[Path],
        identity: ProcessIdentity,
        capacity: int,
        flush_size: int,
        on_many: Callable[[], None],
        lease_seconds: float = 0.0,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._capacity = capacity
        self._flush_size = flush_size
        self._on_many = on_many
        self._lease_ns = int(lease_seconds * 1e9)
        self._readings = ProcessReadings()
        self._making = threading.Lock()
        self._journal: Optional[Journal] = None
        self._sealed: list[JournalFile] = []
        self._waiting: deque[tuple[Happening, float]] = deque()
        self._trouble = Trouble("liteguard: signals are journalled on disk again")
        self._recorded_before = 0
        self.overflowed = 0

    def record(self, happening: Happening) -> Optional[SignalRef]:
        """Record what happened; never raises and never waits.

        Returns:
            The signal's reference, or ``None`` if it had to be queued.
        """
        now = time.time()
        journal = self._journal
        reference = None if journal is None else self._append(journal, happening, now)
        if reference is None:
            self._queue(happening, now)
            if self._making.acquire(blocking=False):
                try:
                    reference = self._renew_and_drain()
                finally:
                    self._making.release()
        return reference

    def seal(self) -> None:
        """End the current journal, without a disk; the next record begins another."""
        journal, self._journal = self._journal, None
        if journal is not None and journal.seal():
            self._recorded_before += journal.count
            self._sealed.append(journal.file)

    def files(self) -> list[JournalFile]:
        """Return this process's journals, the oldest first."""
        journal = self._journal
        return [*self._sealed, *([] if journal is None else [journal.file])]

    def forget(self, file: JournalFile) -> None:
        """Drop a sealed journal that is delivered, or that another process adopted."""
        if file in self._sealed:
            self._sealed.remove(file)

    def drain(self) -> None:
        """Bring what was queued into a journal. Called by the flush thread."""
        if self._waiting:
            with self._making:
                self._renew_and_drain()

    @property
    def recorded(self) -> int:
        """How many records this process has made."""
        journal = self._journal
        return self._recorded_before + (0 if journal is None else journal.count)

    @property
    def buffered(self) -> int:
        """How many records of this process are not yet delivered."""
        return len(self._waiting) + sum(file.unsettled() for file in self.files())

    def _queue(self, happening: Happening, now: float) -> None:
        if len(self._waiting) >= self._capacity:
            self.overflowed += 1
            return
        self._waiting.append((happening, now))

    def _renew_and_drain(self) -> Optional[SignalRef]:
        reference = None
        while self._waiting:
            happening, now = self._waiting.popleft()
            journal = self._journal or self._renew()
            reference = self._append(journal, happening, now)
            if reference is None:
                reference = self._append(self._renew(), happening, now)
        return reference

    def _renew(self) -> Journal:
        self.seal()
        owner = Owner(new_id(), self._identity)
        file = self._make_file(owner)
        if self._lease_ns:
            file.lease(time.monotonic_ns() + self._lease_ns)
            self._journal = LeasedJournal(file)
        else:
            self._journal = Journal(file)
        return self._journal

    def _make_file(self, owner: Owner) -> JournalFile:
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
            return create_journal_file(None, owner, **sizes)
        self._trouble.end()
        return file

    def _append(
        self, journal: Journal, happening: Happening, now: float
    ) -> Optional[SignalRef]:
        state = current_execution.get()
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
            _text(journal, happening.guard),
            _data(journal, happening.properties),
            _callsite(journal, happening.code, happening.instruction),
            _text(journal, state.execution_id) if state else 0,
            _text(journal, signal_id(parent)) if parent and not is_here else 0,
            _data(journal, readings),
            _data(journal, happening.limits),
            _text(journal, happening.error),
            state.next_sequence_number() if state else 1,
            happening.flags,
        )


def signal_id(reference: SignalRef) -> str:
    """Return the id that a signal carries on the wire, unique across hosts."""
    return f"{reference[0]}-{reference[1]:x}"


def _text(journal: Journal, text: str) -> int:
    if not text:
        return 0
    encoded = text.encode("utf-8", "replace")[:_LONGEST_NAME_BYTES]
    return journal.find(text) or journal.write_text(text, encoded)


def _data(journal: Journal, data: bytes) -> int:
    return (journal.find(data) or journal.write_text(data, data)) if data else 0


def _callsite(journal: Journal, code: CodeType, instruction: int) -> int:
    # Hashing a code object walks all that it holds; its id does as well while it lives.
    key = (id(code), instruction)
    offset = journal.find(key)
    if offset:
        return offset
    place = f"{code.co_filename}:{_line(code, instruction)}"
    return journal.write_text(key, place.encode("utf-8", "replace"), keep=code)


def _line(code: CodeType, instruction: int) -> int:
    line = code.co_firstlineno
    for start, starts_line in dis.findlinestarts(code):
        if start > instruction:
            break
        line = starts_line or line
    return line
