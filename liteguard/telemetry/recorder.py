"""What this process records: from a happening to a record, perhaps through a queue.

Recording never waits for another thread's file operation: while one thread makes a
journal, the others put what they have into a bounded queue.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Optional

from liteguard.process.turns import Busy, Turn, locked
from liteguard.telemetry.execution import (
    ExecutionState,
    SignalRef,
    current_execution,
    signal_id,
)
from liteguard.telemetry.happening import Happening
from liteguard.telemetry.journal import Journal, JournalFull
from liteguard.telemetry.measurement import READINGS_SECONDS, ProcessReadings
from liteguard.telemetry.records import Details
from liteguard.telemetry.texts import document_at, name_at, site_at, site_key
from liteguard.telemetry.waiting import Entry, Standby

if TYPE_CHECKING:
    from types import FrameType

    from liteguard.telemetry.journals import Journals

_ATTEMPTS = 5
_MAKING_SECONDS = 0.2


class Recorder:
    """Appends to the process's current journal. Thread-safe.

    Args:
        standby: What was recorded before there was a recorder in this process.
        journals: This process's journals.
        max_waiting: Most records kept while a journal is made; the oldest go first.
    """

    def __init__(
        self, *, standby: Standby, journals: Journals, max_waiting: int
    ) -> None:
        self.journals = journals
        self._standby = standby
        self._max_waiting = max_waiting
        self._readings = ProcessReadings()
        self._making = Turn()
        # Guards the queue's bound and the counts; held for a few instructions.
        # Reentrant: a signal handler may check in the middle of a check.
        self._lock = threading.RLock()
        self._is_closed = False
        self._waiting: deque[Entry] = deque()
        self._lost_waiting = 0

    def record(self, happening: Happening) -> Optional[SignalRef]:
        """Record what happened; never raises and never waits.

        Returns:
            The signal's reference, or ``None`` if it had to be queued or dropped.
        """
        now = time.time()
        state = current_execution.get()
        journal = self.journals.current
        if journal is not None:
            reference = self._append(journal, happening, now, state)
            if reference is not None:
                return reference
        entry = Entry(happening, now, state)
        self._queue(entry)
        self.drain()
        return entry.reference

    def record_check(
        self,
        guard: str,
        flags: int,
        properties: bytes,
        frame: FrameType,
        is_measured: bool,  # noqa: FBT001  each argument by name costs more than the check
        limits: bytes = b"",
    ) -> Optional[SignalRef]:
        """Record a check that belongs to no execution; as `record`, and quicker."""
        code, instruction = frame.f_code, frame.f_lasti
        journal = self.journals.current
        if journal is not None and not limits and current_execution.get() is None:
            offsets = journal.offsets
            site = offsets.get(site_key(guard, flags, code, instruction))
            place = offsets.get(properties)
            if site and place:
                now = time.time()
                number = (
                    journal.repeat(now, site, place)
                    if is_measured
                    else journal.append(now, site, place, 0)
                )
                if number:
                    return (journal.nonce, number)
        return self.record(
            Happening(guard, flags, properties, code, instruction, is_measured, limits)
        )

    def journal_of(self, signal: SignalRef) -> Optional[Journal]:
        """Return the journal that holds *signal*, if it is the current one."""
        journal = self.journals.current
        is_here = journal is not None and journal.nonce == signal[0]
        return journal if is_here else None

    def close(self, deadline: float) -> None:
        """Write what is queued, and seal for good: what comes later is not recorded.

        Blocks while another thread makes a journal, for a moment and until *deadline*
        (monotonic seconds) at most: it may be this thread that does, if a signal
        handler calls.
        """
        seconds = min(_MAKING_SECONDS, max(0.0, deadline - time.monotonic()))
        try:
            self._making.call(self._write_the_last, seconds)
        except Busy:
            self._refuse_more()
        self.journals.seal()

    def _write_the_last(self) -> None:
        self._refuse_more()
        self._write_waiting()

    @locked
    def _refuse_more(self) -> None:
        self._is_closed = True

    def drain(self) -> None:
        """Bring what was queued into a journal, unless another thread does so now."""
        for entry in self._standby.take():
            self._queue(entry)
        self.journals.count_lost(self._standby.take_lost())
        # Asked again after each release: what came in at the last moment is seen.
        with contextlib.suppress(Busy):
            while self._waiting:
                self._making.call(self._write_waiting)

    @property
    def recorded(self) -> int:
        """How many records this process has made."""
        return self.journals.recorded + self._lost_waiting

    @property
    def buffered(self) -> int:
        """How many records of this process are not yet delivered."""
        return len(self._waiting) + self.journals.unsettled()

    @locked
    def _queue(self, entry: Entry) -> None:
        if self._is_closed:
            return
        if len(self._waiting) >= self._max_waiting:
            with contextlib.suppress(IndexError):  # another thread has just begun
                self._waiting.popleft()
                self._lose_one()
        self._waiting.append(entry)

    @locked
    def _lose_one(self) -> None:
        self._lost_waiting += 1
        self.journals.count_lost(1)

    def _write_waiting(self) -> None:
        while self._waiting:
            try:
                entry = self._waiting.popleft()
            except IndexError:  # another thread has just dropped it
                return
            is_written = self._write(self.journals.current, entry)
            if not is_written and not self._write_anew(entry):
                self._lose_one()

    def _write_anew(self, entry: Entry) -> bool:
        # Again, because a fork may seal a journal as soon as it is made.
        for _ in range(_ATTEMPTS):
            journal = self.journals.begin()
            if journal is None or self._write(journal, entry):
                return journal is not None
        return False

    def _write(self, journal: Optional[Journal], entry: Entry) -> bool:
        if journal is not None:
            happening, now, state = entry.happening, entry.now, entry.state
            entry.reference = self._append(journal, happening, now, state)
        return entry.reference is not None

    def _append(
        self,
        journal: Journal,
        happening: Happening,
        now: float,
        state: Optional[ExecutionState],
    ) -> Optional[SignalRef]:
        try:
            number = journal.append(
                now,
                site_at(journal, happening),
                document_at(journal, happening.properties),
                self._readings_at(journal, now) if happening.is_measured else 0,
                _details(journal, happening, state),
            )
        except JournalFull:
            return None
        if not number:
            return None
        reference = (journal.nonce, number)
        if state is not None:
            state.last_signal = reference
        return reference

    def _readings_at(self, journal: Journal, now: float) -> int:
        if not journal.readings_from <= now < journal.readings_until:
            journal.readings = document_at(journal, self._readings.sample(now))
            journal.readings_until = now + READINGS_SECONDS
            journal.readings_from = now
        return journal.readings


def _details(
    journal: Journal, happening: Happening, state: Optional[ExecutionState]
) -> Optional[Details]:
    if state is None and happening.is_plain:
        return None
    parent = happening.parent or (state.last_signal if state else None)
    is_here = parent is not None and parent[0] == journal.nonce
    return Details(
        parent_number=parent[1] if parent and is_here else 0,
        duration_ns=happening.duration_ns,
        execution=name_at(journal, state.execution_id) if state else 0,
        parent=name_at(journal, signal_id(parent)) if parent and not is_here else 0,
        limits=journal.write_text(None, happening.limits) if happening.limits else 0,
        error=name_at(journal, happening.error),
        sequence_number=state.next_sequence_number() if state else 1,
    )
