"""One process's journals: the current one, those it has sealed, and their making.

A journal is made at the first record, since many processes never make one. It is
sealed, and another begun, when its room for texts is used up, and at every fork; and
one in memory, for which there was no room on disk, after a minute.
Signals that found no room any more are counted in the current journal, which reports
them with its next batch.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.process.clock import host_ns
from liteguard.process.logs import Trouble
from liteguard.process.turns import locked
from liteguard.telemetry.execution import new_id
from liteguard.telemetry.journal import Journal, LeasedJournal
from liteguard.telemetry.journal_file import JournalFile, Owner
from liteguard.telemetry.journal_folder import (
    create_journal_file,
    discard_journal_file,
    is_deleted,
)

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.process.identity import ProcessIdentity

# Who keeps more records has more texts to keep.
_TEXT_BYTES_OF_A_RECORD = 128
_LEAST_TEXT_BYTES = 512 * 1024
_MOST_TEXT_BYTES = 64 * 1024 * 1024
_MANY_SEALED = 8
_MAX_SEALED = 50
# Each try may reserve a file's space and give it back.
_TRY_DISK_AGAIN_SECONDS = 60.0


class Journals:
    """Makes, seals and keeps the journals of this process. Thread-safe.

    Bounded: when as many records as one journal holds, or 50 journals, are sealed and
    wait, and another is begun, the oldest of them go.

    Args:
        folder: Where journals go; ``None`` keeps them in memory.
        identity: This process.
        capacity: Most unsent records kept in one journal.
        flush_size: How many records of a journal call *on_many*.
        on_many: Called when so many records, or eight journals, wait.
        is_measured: Whether readings of the process belong to checks.
        lease_seconds: How long a journal may be written before another is begun; 0
            sets no limit.
    """

    def __init__(
        self,
        folder: Optional[Path],
        identity: ProcessIdentity,
        *,
        capacity: int,
        flush_size: int,
        on_many: Callable[[], None],
        is_measured: bool,
        lease_seconds: float,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._capacity = capacity
        self._flush_size = flush_size
        self._on_many = on_many
        self._is_measured = is_measured
        self._lease_ns = int(lease_seconds * 1e9)
        # Guards what follows; held for a few instructions, since a fork waits for it.
        # Reentrant as the journal's is.
        self._lock = threading.RLock()
        self.current: Optional[Journal] = None
        """Where to record now, if anywhere; it may be sealed at any moment."""
        self._sealed: list[JournalFile] = []
        self._recorded_before = 0
        # Lost while there was no journal to count it in.
        self._lost = 0
        self._try_disk_at = math.inf
        self._trouble = Trouble("liteguard: signals are journalled on disk again")

    def begin(self) -> Optional[Journal]:
        """Seal the current journal and begin another. By one thread at a time.

        Blocks for making a file; returns ``None`` if not even memory is to be had.
        """
        self.forget_delivered()
        self._make_room()
        self.seal()
        file = self._make_file(Owner(new_id(), self._identity))
        if file is None:
            return None
        if self._lease_ns:
            file.lease(host_ns() + self._lease_ns)
        kind = LeasedJournal if self._lease_ns else Journal
        journal = kind(file, self._flush_size, self._on_many)
        if not self._is_measured:
            # None at all will do for ever.
            journal.readings_from, journal.readings_until = -math.inf, math.inf
        self._put_in_force(journal)
        if len(self._sealed) >= _MANY_SEALED:
            self._on_many()
        return journal

    @locked
    def _put_in_force(self, journal: Journal) -> None:
        self.current = journal
        self.count_lost(self.take_lost())

    @locked
    def seal(self) -> None:
        """End the current journal, without a disk; the next record begins another."""
        journal, self.current = self.current, None
        if journal is not None and journal.seal():
            self._recorded_before += journal.count
            self._sealed.append(journal.file)

    def try_disk_again(self) -> None:
        """Seal a journal that found no disk, from time to time: the next may find one.

        Not while an earlier one waits in memory, so that there are two at most.
        """
        journal = self.current
        if journal is None or time.monotonic() < self._try_disk_at:
            return
        if [file for file in self.files() if file.path is None] == [journal.file]:
            self.seal()

    @locked
    def files(self) -> list[JournalFile]:
        """Return this process's journals, the oldest first."""
        journal = self.current
        return [*self._sealed, *([] if journal is None else [journal.file])]

    @locked
    def hold(self, file: JournalFile) -> bool:
        """Mark a journal as in flight, so that it is not let go of.

        Returns:
            ``False`` if it was let go of before, and counted.
        """
        journal = self.current
        is_current = journal is not None and journal.file is file
        is_held = is_current or file in self._sealed
        if is_held:
            file.set_in_flight(is_in_flight=True)
        return is_held

    @locked
    def forget_delivered(self) -> None:
        """Drop the sealed journals that are delivered, by whichever process."""
        delivered = [file for file in self._sealed if not file.unsettled()]
        self._sealed = [file for file in self._sealed if file not in delivered]
        # What lies on disk and has losses to report is found there by a leader.
        in_memory = [file for file in delivered if file.path is None]
        self.count_lost(sum(file.take_unreported() for file in in_memory))

    def take_over(self, earlier: Journals) -> None:
        """Hold from now on what *earlier*, of this process, has only in memory."""
        files = earlier.files()
        left = [file for file in files if file.path is None or is_deleted(file.path)]
        self._put_first(left)
        self.count_lost(earlier.take_lost())

    @locked
    def _put_first(self, files: list[JournalFile]) -> None:
        self._sealed = [*files, *self._sealed]

    @locked
    def count_lost(self, count: int) -> None:
        """Have *count* signals, of this process or adopted, reported as dropped."""
        if self.current is None:
            self._lost += count
        elif count:
            self.current.file.add_lost(count)

    def keep_lost(self) -> None:
        """Leave what was lost, and is not reported yet, to whoever leads next.

        Blocks for making a file, if there is something to leave.
        """
        if self._lost and self.begin() is not None:
            self.seal()

    @locked
    def take_lost(self) -> int:
        """Return what was lost while there was no journal, for another to report."""
        lost, self._lost = self._lost, 0
        return lost

    @property
    def recorded(self) -> int:
        """How many records this process has made in its journals."""
        journal = self.current
        return self._recorded_before + (0 if journal is None else journal.count)

    def unsettled(self) -> int:
        """Return how many records are neither delivered nor reported dropped."""
        return sum(file.unsettled() for file in self.files())

    def _make_file(self, owner: Owner) -> Optional[JournalFile]:
        text_bytes = max(_LEAST_TEXT_BYTES, _TEXT_BYTES_OF_A_RECORD * self._capacity)
        text_bytes = min(_MOST_TEXT_BYTES, text_bytes)
        sizes = {"capacity": self._capacity, "text_bytes": text_bytes}
        try:
            file = create_journal_file(self._folder, owner, **sizes)
        except OSError as error:
            self._try_disk_at = time.monotonic() + _TRY_DISK_AGAIN_SECONDS
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
        self._try_disk_at = math.inf
        self._trouble.end()
        return file

    def _make_room(self) -> None:
        for file in self.files():
            waiting = [sealed.unsettled() for sealed in self._sealed]
            if sum(waiting) < self._capacity and len(waiting) < _MAX_SEALED:
                return
            self._let_go(file)

    def _let_go(self, file: JournalFile) -> None:
        # One that another process has claimed is delivered by that.
        if self._forget(file) and (
            file.path is None or discard_journal_file(file.path)
        ):
            self.count_lost(file.unsettled() + file.take_unreported())

    @locked
    def _forget(self, file: JournalFile) -> bool:
        # What is being sent may have arrived; only its answer settles it.
        if file not in self._sealed or file.is_in_flight:
            return False
        self._sealed = [sealed for sealed in self._sealed if sealed is not file]
        return True
