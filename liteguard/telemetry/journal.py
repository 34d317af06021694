"""This process's end of a journal: numbering records, and writing each text once."""

from __future__ import annotations

import itertools
import math
import threading
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.process.clock import host_ns
from liteguard.process.turns import locked
from liteguard.telemetry.journal_file import (
    LEASE_GRACE_NS,
    RECORDS_AT,
    JournalFile,
    first_text_offset,
    text_size,
)
from liteguard.telemetry.records import RECORD_BYTES, write_check

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from liteguard.telemetry.records import Details


class JournalFull(Exception):
    """There is no room for another text: the journal must be sealed."""


class Journal:
    """Appends records to a `JournalFile`. Thread-safe; recording takes no lock.

    The lock guards the offsets, the room for texts and the moment of sealing. It is
    held for a few instructions, and never while anything is read or written on disk.

    Args:
        file: A new journal, owned by this process.
        flush_size: How many records make it call *on_many*, again and again.
        on_many: Called when so many records were appended; must not block.
    """

    def __init__(
        self, file: JournalFile, flush_size: int, on_many: Callable[[], None]
    ) -> None:
        self.file = file
        self.nonce = file.owner.nonce
        self.readings = 0
        """Where the latest readings of the process lie, 0 before the first."""
        self.readings_from = math.inf
        self.readings_until = -math.inf
        """When those were taken, and until when they will do, in wall-clock seconds."""
        self._memory = file.memory
        self._capacity = file.capacity
        self._flush_size = flush_size
        self._on_many = on_many
        self._numbers: Iterator[int] = itertools.count(1)
        # Reentrant: a signal handler or a finalizer that makes a check may run in the
        # middle of another check of the same thread.
        self._lock = threading.RLock()
        self._is_writing = False
        self._is_sealing = False
        self._last_number = 0
        self.offsets: dict[Hashable, int] = {}
        """Where each text lies; edited here alone."""
        self._kept: list[object] = []
        self._next_text = first_text_offset()

    @property
    def count(self) -> int:
        """How many records were appended."""
        return self._last_number if self._is_sealing else self.file.newest()

    def find(self, key: Hashable) -> int:
        """Return where the text named *key* lies, or 0 if it was not written yet."""
        return self.offsets.get(key, 0)

    @locked
    def write_text(self, key: Hashable, text: bytes, keep: object = None) -> int:
        """Write the text named *key*, unless it is there, and return where it lies.

        Args:
            key: What `find` will be asked for; ``None`` if the text never comes again.
            text: The text.
            keep: Kept alive with the journal, for a key that is the id of an object.

        Raises:
            JournalFull: There is no room for it, or this thread is writing one already.
        """
        offset = self.offsets.get(key, 0)
        if offset:
            return offset
        if self._is_writing:
            raise JournalFull
        self._is_writing = True
        try:
            return self._write_text(key, text, keep)
        finally:
            self._is_writing = False

    def _write_text(self, key: Hashable, text: bytes, keep: object) -> int:
        offset = self._next_text
        if offset + text_size(text) > self.file.text_bytes:
            raise JournalFull
        self.file.store_text(offset, text)
        self._next_text = offset + text_size(text)
        if key is not None:
            self.offsets[key] = offset
        if keep is not None:
            self._kept.append(keep)
        return offset

    def append(
        self,
        seconds: float,
        site: int,
        properties: int,
        readings: int,
        details: Optional[Details] = None,
    ) -> int:
        """Append a record, see `Record`.

        Returns:
            Its number, or 0 if the journal was sealed first.
        """
        # Asked before a number is drawn too: a signal handler may be in the middle of
        # `seal`, whose last number is not known yet.
        if self._is_sealing:
            return 0
        number = next(self._numbers)
        self.file.store(number, seconds, site, properties, readings, details)
        if self._is_sealing:
            return self._counts(number)
        if not number % self._flush_size:
            self._on_many()
        return number

    def repeat(self, seconds: float, site: int, properties: int) -> int:
        """Append the record of a plain check whose texts are here. For speed.

        Returns:
            Its number; 0 if `append` must be called, because the journal was sealed or
            the readings are too old.
        """
        if self._is_sealing or not self.readings_from <= seconds < self.readings_until:
            return 0
        number = next(self._numbers)
        # In place, and not by `store`: measured, that would take a tenth more.
        write_check(
            self._memory,
            RECORDS_AT + number % self._capacity * RECORD_BYTES,
            number,
            seconds,
            site,
            properties,
            self.readings,
            0,
            number,
        )
        if self._is_sealing:
            return self._counts(number)
        if not number % self._flush_size:
            self._on_many()
        return number

    @locked
    def _counts(self, number: int) -> int:
        # A number taken after the seal's own is seen here to be beyond it, because
        # the flag is set before that number is drawn.
        return number if number <= self._last_number else 0

    @locked
    def seal(self) -> bool:
        """End the journal: every record that got its number before now still counts.

        Returns:
            Whether this call ended it; ``False`` if it had ended before.
        """
        if self._is_sealing:
            return False
        self._is_sealing = True
        self._last_number = next(self._numbers) - 1
        self.file.seal(self._last_number)
        return True


class LeasedJournal(Journal):
    """A journal that may be written for a short time only, and is born to be adopted.

    For a process that can promise nothing about later: a uWSGI master makes checks
    while it loads the application, and may never run Python again. Others may adopt
    what it wrote when the lease is over, although it is alive and has sealed nothing.
    """

    def append(
        self,
        seconds: float,
        site: int,
        properties: int,
        readings: int,
        details: Optional[Details] = None,
    ) -> int:
        """Append a record; return its number, or 0 if the lease is over."""
        lease_ns = self.file.lease_ns
        if host_ns() >= lease_ns:
            return 0
        number = super().append(seconds, site, properties, readings, details)
        # Written in time for certain only if it is not yet time to adopt.
        return number if host_ns() < lease_ns + LEASE_GRACE_NS else 0

    def repeat(self, seconds: float, site: int, properties: int) -> int:
        """Return 0: each record must look at the lease."""
        del seconds, site, properties
        return 0
