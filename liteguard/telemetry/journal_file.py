"""The layout of a journal: a mapped file of records, readable after its writer's death.

A header page, a ring of fixed records, and texts that records refer to. The page cache
keeps what was written when the process is killed, so nothing is ever synchronised. A
record that was torn by a kill is recognised, see `records`.
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple, Optional

import orjson

from liteguard.process.clock import host_ns
from liteguard.process.identity import ProcessIdentity
from liteguard.telemetry.records import (
    RECORD_BYTES,
    Details,
    Record,
    highest_number,
    read_record,
    write_check,
    write_details,
)

if TYPE_CHECKING:
    import mmap
    from pathlib import Path

_MAGIC = b"LGJRNL2\n"
RECORDS_AT = 4096
_HEADER = struct.Struct("<8sQQQQQQQQI")
_ACKNOWLEDGED_AT = 8
_SEALED_AT = 16
_IN_FLIGHT_AT = 24
_LEASE_AT = 32
_LOST_AT = 40
_REPORTED_AT = 48
_NUMBER = struct.Struct("<Q")
_TEXT_LENGTH = struct.Struct("<I")
_FIRST_TEXT = 8
LEASE_GRACE_NS = 1_000_000_000


class Batch(NamedTuple):
    """Records to deliver, in order.

    Args:
        records: The records.
        last: Number of the last that is settled once they are delivered.
        dropped: How many signals are lost and must be reported with them.
        lost: What the journal's count of losses is, once this is reported.
        is_held_up: Whether it ends before a record that may be under way.
    """

    records: list[Record]
    last: int
    dropped: int
    lost: int
    is_held_up: bool


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
        self.lease_ns, _, _, capacity, text_bytes, owner_bytes = header[4:]
        texts_at = RECORDS_AT + capacity * RECORD_BYTES
        is_whole = texts_at + text_bytes == len(memory)
        if header[0] != _MAGIC or capacity < 1 or not is_whole:
            raise ValueError("no journal of this format")
        owner = orjson.loads(memory[_HEADER.size : _HEADER.size + owner_bytes])
        self.owner = Owner(owner["nonce"], ProcessIdentity(**owner["identity"]))
        self.path = path
        self.capacity: int = capacity
        self.text_bytes: int = text_bytes
        self.memory = memory
        self._texts_at = texts_at

    # -- the owner's side

    def store(
        self,
        number: int,
        seconds: float,
        site: int,
        properties: int,
        readings: int,
        details: Optional[Details] = None,
    ) -> None:
        """Write record *number*, see `Record`."""
        place, has_details = self._place(number), int(details is not None)
        if details is not None:
            write_details(self.memory, place, number, details)
        write_check(
            self.memory,
            place,
            number,
            seconds,
            site,
            properties,
            readings,
            has_details,
            number,
        )

    def store_text(self, offset: int, text: bytes) -> None:
        """Write a text at *offset*, before the first record that refers to it."""
        place = self._texts_at + offset
        self.memory[place + 4 : place + 4 + len(text)] = text
        _TEXT_LENGTH.pack_into(self.memory, place, len(text))

    def lease(self, until_ns: int) -> None:
        """State that nothing is written after *until_ns* on the monotonic clock."""
        self.lease_ns = until_ns
        _NUMBER.pack_into(self.memory, _LEASE_AT, until_ns)

    def seal(self, last: int) -> None:
        """State that no record after *last* counts."""
        _NUMBER.pack_into(self.memory, _SEALED_AT, last + 1)

    def add_lost(self, count: int) -> None:
        """Have *count* signals reported as dropped with this journal's next batch."""
        _NUMBER.pack_into(self.memory, _LOST_AT, self._number_at(_LOST_AT) + count)

    # -- the sender's side

    @property
    def is_sealed(self) -> bool:
        """Whether its owner has finished it."""
        return self._number_at(_SEALED_AT) != 0

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will be written: sealed, or its lease long over."""
        lease_ns = self.lease_ns
        is_over = bool(lease_ns) and host_ns() > lease_ns + LEASE_GRACE_NS
        return is_over or self.is_sealed

    @property
    def is_in_flight(self) -> bool:
        """Whether its owner has sent a batch and does not know yet if it arrived."""
        return self._number_at(_IN_FLIGHT_AT) != 0

    def set_in_flight(self, *, is_in_flight: bool) -> None:
        """Keep others from sending what is on its way."""
        _NUMBER.pack_into(self.memory, _IN_FLIGHT_AT, int(is_in_flight))

    @property
    def acknowledged(self) -> int:
        """Number of the last record that is settled."""
        return self._number_at(_ACKNOWLEDGED_AT)

    @property
    def unreported(self) -> int:
        """How many signals that were lost elsewhere this journal has yet to report."""
        return max(0, self._number_at(_LOST_AT) - self._number_at(_REPORTED_AT))

    def take_unreported(self) -> int:
        """Return how many those are, for another journal to report."""
        lost = self._number_at(_LOST_AT)
        count = max(0, lost - self._number_at(_REPORTED_AT))
        _NUMBER.pack_into(self.memory, _REPORTED_AT, lost)
        return count

    def settle(self, batch: Batch) -> None:
        """State that *batch* is delivered, or reported dropped."""
        _NUMBER.pack_into(self.memory, _REPORTED_AT, batch.lost)
        self.acknowledge(batch.last)

    def acknowledge(self, last: int) -> None:
        """State that everything up to *last* is delivered or reported dropped."""
        _NUMBER.pack_into(self.memory, _ACKNOWLEDGED_AT, last)

    def text(self, offset: int) -> bytes:
        """Return the text at *offset*.

        Raises:
            ValueError: The offset leads outside, as in a damaged journal.
        """
        if not _FIRST_TEXT <= offset <= self.text_bytes - 4:
            raise ValueError("a text reference is damaged")
        place = self._texts_at + offset
        (length,) = _TEXT_LENGTH.unpack_from(self.memory, place)
        # An empty text is never written: this page did not reach the disk.
        if not 0 < length <= self.text_bytes - offset - 4:
            raise ValueError("a text is damaged")
        return self.memory[place + 4 : place + 4 + length]

    def read(self, limit: int, *, waits_for_holes: bool) -> Batch:
        """Return up to *limit* records not yet acknowledged.

        Args:
            limit: Most records to return.
            waits_for_holes: Stop before a record that is not committed: its thread
                may be writing it now. Otherwise it counts as dropped.
        """
        newest = self.newest()
        settled = self.acknowledged
        lost = self._number_at(_LOST_AT)
        first = max(settled + 1, newest - self.capacity + 1)
        dropped = max(0, lost - self._number_at(_REPORTED_AT)) + first - settled - 1
        records: list[Record] = []
        is_held_up = False
        last = first - 1
        for number in range(first, newest + 1):
            if len(records) == limit:
                break
            record = read_record(self.memory, self._place(number), number)
            if record is not None:
                records.append(record)
            elif waits_for_holes and self._number_in_slot(number) <= number:
                is_held_up = True
                break
            else:
                dropped += 1
            last = number
        return Batch(records, last, dropped, lost, is_held_up)

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
        end = RECORDS_AT + self.capacity * RECORD_BYTES
        return highest_number(self.memory[RECORDS_AT:end])

    def newest_seconds(self) -> float:
        """Return when the newest record was made, 0 if there is none."""
        number = self.newest()
        record = read_record(self.memory, self._place(number), number)
        return record.seconds if record is not None else 0.0

    def _number_in_slot(self, number: int) -> int:
        return self._number_at(self._place(number))

    def _place(self, number: int) -> int:
        return RECORDS_AT + number % self.capacity * RECORD_BYTES

    def _number_at(self, place: int) -> int:
        return int(_NUMBER.unpack_from(self.memory, place)[0])


def first_text_offset() -> int:
    """Return where the first text goes: 0 means "no text"."""
    return _FIRST_TEXT


def text_size(text: bytes) -> int:
    """Return the space that *text* takes."""
    return _TEXT_LENGTH.size + len(text)


def journal_size(capacity: int, text_bytes: int) -> int:
    """Return how large a journal of *capacity* records is, in bytes."""
    return RECORDS_AT + capacity * RECORD_BYTES + text_bytes


def write_header(
    memory: mmap.mmap, owner: Owner, capacity: int, text_bytes: int
) -> None:
    """Write the header of an empty journal."""
    described = orjson.dumps(asdict(owner))
    _HEADER.pack_into(
        memory, 0, _MAGIC, 0, 0, 0, 0, 0, 0, capacity, text_bytes, len(described)
    )
    memory[_HEADER.size : _HEADER.size + len(described)] = described
