"""The layout of a journal: a mapped file of records, readable after its writer's death.

A header page, a ring of fixed records, and texts that records refer to. The page cache
keeps what was written when the process is killed, so nothing is ever synchronised. A
record carries its number first and last: one that was torn by a kill is recognised.
"""

from __future__ import annotations

import struct
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple, Optional

import orjson

from liteguard.process.identity import ProcessIdentity

if TYPE_CHECKING:
    import mmap
    from pathlib import Path

_MAGIC = b"LGJRNL1\n"
_HEADER_BYTES = 4096
_HEADER = struct.Struct("<8sQQQQQQI")
_ACKNOWLEDGED_AT = 8
_SEALED_AT = 16
_IN_FLIGHT_AT = 24
_LEASE_AT = 32
_NUMBER = struct.Struct("<Q")
_TEXT_LENGTH = struct.Struct("<I")
_RECORD = struct.Struct("<QQQQIIIIIIIIIIQ")
_FIRST_TEXT = 8
LEASE_GRACE_NS = 1_000_000_000


class Record(NamedTuple):
    """One thing that happened. Texts are given as offsets, 0 meaning none."""

    number: int
    timestamp_ms: int
    parent_number: int
    duration_ns: int
    guard: int
    properties: int
    callsite: int
    execution: int
    parent: int
    readings: int
    limits: int
    error: int
    sequence_number: int
    flags: int
    commit: int


class Batch(NamedTuple):
    """Records to deliver, in order.

    Args:
        records: The records.
        last: Number to acknowledge once they are delivered.
        dropped: Records before or between them that are lost.
    """

    records: list[Record]
    last: int
    dropped: int


@dataclass(frozen=True)
class Owner:
    """Whose journal it is.

    Args:
        nonce: Random id of the journal; signal ids begin with it.
        identity: The process that writes it.
    """

    nonce: str
    identity: ProcessIdentity


class JournalFile:
    """One journal, mapped: written by its owner, read and acknowledged by its sender.

    Args:
        memory: The mapping.
        path: Where it lies; ``None`` for memory of this process alone.
    """

    def __init__(self, memory: mmap.mmap, path: Optional[Path]) -> None:
        header = _HEADER.unpack_from(memory, 0)
        self.lease_ns, capacity, text_bytes, owner_bytes = header[4:]
        texts_at = _HEADER_BYTES + capacity * _RECORD.size
        is_whole = texts_at + text_bytes == len(memory)
        if header[0] != _MAGIC or capacity < 1 or not is_whole:
            raise ValueError("no journal of this format")
        owner = orjson.loads(memory[_HEADER.size : _HEADER.size + owner_bytes])
        self.owner = Owner(owner["nonce"], ProcessIdentity(**owner["identity"]))
        self.path = path
        self.capacity: int = capacity
        self.text_bytes: int = text_bytes
        self._memory = memory
        self._texts_at = texts_at

    # -- the owner's side

    def store(self, number: int, fields: tuple[int, ...]) -> None:
        """Write record *number*; *fields* are those between number and commit."""
        place = _HEADER_BYTES + (number - 1) % self.capacity * _RECORD.size
        _RECORD.pack_into(self._memory, place, number, *fields, number)

    def store_text(self, offset: int, text: bytes) -> None:
        """Write a text at *offset*, before the first record that refers to it."""
        place = self._texts_at + offset
        self._memory[place + 4 : place + 4 + len(text)] = text
        _TEXT_LENGTH.pack_into(self._memory, place, len(text))

    def lease(self, until_ns: int) -> None:
        """State that nothing is written after *until_ns* on the monotonic clock."""
        self.lease_ns = until_ns
        _NUMBER.pack_into(self._memory, _LEASE_AT, until_ns)

    def seal(self, last: int) -> None:
        """State that no record after *last* counts."""
        _NUMBER.pack_into(self._memory, _SEALED_AT, last + 1)

    # -- the sender's side

    @property
    def is_sealed(self) -> bool:
        """Whether its owner has finished it."""
        return self._number_at(_SEALED_AT) != 0

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will be written: sealed, or its lease long over."""
        lease_ns = self.lease_ns
        is_over = bool(lease_ns) and time.monotonic_ns() > lease_ns + LEASE_GRACE_NS
        return is_over or self.is_sealed

    @property
    def is_in_flight(self) -> bool:
        """Whether its owner has sent a batch and does not know yet if it arrived."""
        return self._number_at(_IN_FLIGHT_AT) != 0

    def set_in_flight(self, *, is_in_flight: bool) -> None:
        """Keep others from sending what is on its way."""
        _NUMBER.pack_into(self._memory, _IN_FLIGHT_AT, int(is_in_flight))

    @property
    def acknowledged(self) -> int:
        """Number of the last record that is settled."""
        return self._number_at(_ACKNOWLEDGED_AT)

    def acknowledge(self, last: int) -> None:
        """State that everything up to *last* is delivered or reported dropped."""
        _NUMBER.pack_into(self._memory, _ACKNOWLEDGED_AT, last)

    def text(self, offset: int) -> bytes:
        """Return the text at *offset*.

        Raises:
            ValueError: The offset leads outside, as in a damaged journal.
        """
        if not _FIRST_TEXT <= offset <= self.text_bytes - 4:
            raise ValueError("a text reference is damaged")
        place = self._texts_at + offset
        (length,) = _TEXT_LENGTH.unpack_from(self._memory, place)
        # An empty text is never written: this page did not reach the disk.
        if not 0 < length <= self.text_bytes - offset - 4:
            raise ValueError("a text is damaged")
        return self._memory[place + 4 : place + 4 + length]

    def read(self, limit: int, *, waits_for_holes: bool) -> Batch:
        """Return up to *limit* records not yet acknowledged.

        Args:
            limit: Most records to return.
            waits_for_holes: Stop before a record that is not committed: its thread
                may be writing it now. Otherwise it counts as dropped.
        """
        newest = self.newest()
        settled = self.acknowledged
        first = max(settled + 1, newest - self.capacity + 1)
        dropped = first - settled - 1
        records: list[Record] = []
        last = first - 1
        for number in range(first, newest + 1):
            record = self._record(number)
            if record is not None:
                records.append(record)
            elif waits_for_holes and self._number_in_slot(number) <= number:
                break
            else:
                dropped += 1
            last = number
            if len(records) == limit:
                break
        return Batch(records, last, dropped)

    def unsettled(self) -> int:
        """Return how many records are neither delivered nor reported dropped."""
        return max(0, self.newest() - self.acknowledged)

    def delete(self) -> None:
        """Remove the file; what is mapped stays usable."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def newest(self) -> int:
        """Return the sealed end, or the highest committed number before there is one.

        Up to a seal every number counts: its thread may not have written it yet.
        """
        sealed = self._number_at(_SEALED_AT)
        if sealed:
            return sealed - 1
        end = _HEADER_BYTES + self.capacity * _RECORD.size
        slots = _RECORD.iter_unpack(self._memory[_HEADER_BYTES:end])
        return max(slot[0] if slot[0] == slot[-1] else 0 for slot in slots)

    def _record(self, number: int) -> Optional[Record]:
        place = _HEADER_BYTES + (number - 1) % self.capacity * _RECORD.size
        record = Record._make(_RECORD.unpack_from(self._memory, place))
        return record if record.number == record.commit == number else None

    def _number_in_slot(self, number: int) -> int:
        place = _HEADER_BYTES + (number - 1) % self.capacity * _RECORD.size
        return int(_NUMBER.unpack_from(self._memory, place)[0])

    def _number_at(self, place: int) -> int:
        return int(_NUMBER.unpack_from(self._memory, place)[0])


def first_text_offset() -> int:
    """Return where the first text goes: 0 means "no text"."""
    return _FIRST_TEXT


def text_size(text: bytes) -> int:
    """Return the space that *text* takes."""
    return _TEXT_LENGTH.size + len(text)


def journal_size(capacity: int, text_bytes: int) -> int:
    """Return how large a journal of *capacity* records is, in bytes."""
    return _HEADER_BYTES + capacity * _RECORD.size + text_bytes


def write_header(
    memory: mmap.mmap, owner: Owner, capacity: int, text_bytes: int
) -> None:
    """Write the header of an empty journal."""
    described = orjson.dumps(asdict(owner))
    _HEADER.pack_into(
        memory, 0, _MAGIC, 0, 0, 0, 0, capacity, text_bytes, len(described)
    )
    memory[_HEADER.size : _HEADER.size + len(described)] = described
