"""The fixed records of a journal: their fields, and how they lie in memory.

A record carries its number first and last: one that was torn by a kill is recognised.
Its second half, for what few records have, carries the number too. It is written first,
so another record's may already lie there; most records say that they have none.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    import mmap

_CHECK = struct.Struct("<QdIIIIQ")
_DETAILS = struct.Struct("<QQQIIIII4x")
_RECORD = struct.Struct(_CHECK.format + _DETAILS.format[1:])
_FIRST_AND_LAST = struct.Struct(f"<Q{_CHECK.size - 16}xQ{_DETAILS.size}x")
RECORD_BYTES = _RECORD.size

write_check = _CHECK.pack_into
"""Takes memory, place, number, seconds, site, properties, readings, whether details
were written (1 or 0), and the number."""


class Details(NamedTuple):
    """What a record of an execution, or within one, has beside its check.

    Texts are given as offsets, 0 meaning none.
    """

    parent_number: int = 0
    duration_ns: int = 0
    execution: int = 0
    parent: int = 0
    limits: int = 0
    error: int = 0
    sequence_number: int = 1


_NO_DETAILS = Details()


class Record(NamedTuple):
    """One thing that happened. Texts are given as offsets, 0 meaning none.

    Args:
        number: Its number in the journal.
        seconds: When, in wall-clock seconds.
        site: Guard, place in the code, kind and answer.
        properties: The properties.
        readings: Readings of the process.
        details: What few records have.
    """

    number: int
    seconds: float
    site: int
    properties: int
    readings: int
    details: Details


def write_details(memory: mmap.mmap, place: int, number: int, details: Details) -> None:
    """Write the details of record *number* at *place*, before the record itself."""
    _DETAILS.pack_into(memory, place + _CHECK.size, number, *details)


def read_record(memory: mmap.mmap, place: int, number: int) -> Optional[Record]:
    """Return record *number*, or ``None`` if it is not the one at *place*, whole."""
    found = _RECORD.unpack_from(memory, place)
    has_details = found[5]
    is_whole = found[0] == found[6] == number
    if not is_whole or (has_details and found[7] != number):
        return None
    details = Details._make(found[8:]) if has_details else _NO_DETAILS
    return Record._make((*found[:5], details))


def highest_number(ring: bytes) -> int:
    """Return the highest number of a record that is whole, 0 if there is none."""
    numbers = _FIRST_AND_LAST.iter_unpack(ring)
    return max(first if first == last else 0 for first, last in numbers)
