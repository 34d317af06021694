"""The layout of a journal: what is written is read back, and damage loses little."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

import pytest

from journals import (
    CAPACITY,
    HEADER_BYTES,
    RECORD_BYTES,
    TEXT_BYTES,
    descriptors,
    fill,
    new_file,
    new_journal,
    signals_in,
    store,
)
from liteguard.process.identity import current_identity
from liteguard.telemetry.journal_file import JournalFile, Owner, first_text_offset
from liteguard.telemetry.journal_folder import create_journal_file, open_journal_file
from liteguard.telemetry.records import Details, write_details

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.telemetry.journal_file import Batch

CAPACITY_AT = 56
TEXTS_AT = 64
OWNER_AT = 72
COMMIT_AT = 32
NO_ROOM = struct.pack("<QQ", 0, TEXT_BYTES + RECORD_BYTES)


def path_of(file: JournalFile) -> Path:
    """Return where a journal on disk lies."""
    assert file.path is not None
    return file.path


def numbers(batch: Batch) -> list[int]:
    """Return the numbers of a batch's records."""
    return [record.number for record in batch.records]


def overwrite(file: JournalFile, place: int, data: bytes) -> None:
    """Damage a journal on disk."""
    with path_of(file).open("r+b") as raw:
        raw.seek(place)
        raw.write(data)


def tear(file: JournalFile, number: int) -> None:
    """Remove the commit mark of a record, as a kill in the middle of it would."""
    slot = HEADER_BYTES + number % file.capacity * RECORD_BYTES
    overwrite(file, slot + COMMIT_AT, bytes(8))


def test_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Every field survives, largest values included, for another reader of the file."""
    file = new_file(tmp_path)
    details = Details(2**64 - 1, 2**64 - 1, *[2**32 - 1] * 5)
    largest = 2**32 - 1
    file.store(1, 2.5, largest, largest, largest, details)
    (record,) = open_journal_file(path_of(file)).read(9, waits_for_holes=True).records
    assert record == (1, 2.5, *[2**32 - 1] * 3, details)


def test_details_of_an_earlier_round_are_not_those_of_a_record(tmp_path: Path) -> None:
    """A slot of the ring may hold the details of a record that it held before."""
    file = new_file(tmp_path, capacity=2)
    file.store(1, 1.0, 0, 0, 0, Details(duration_ns=7))
    for number in (2, 3):
        file.store(number, 1.0, 0, 0, 0)
    records = file.read(9, waits_for_holes=False).records
    assert [record.details for record in records] == [Details()] * 2


def test_record_whose_details_are_being_overwritten_is_lost(tmp_path: Path) -> None:
    """A kill came between the details of the record that takes its place and that."""
    file = new_file(tmp_path, capacity=2)
    for number in (1, 2):
        file.store(number, 1.0, 0, 0, 0, Details(duration_ns=number))
    place = HEADER_BYTES + 3 % 2 * RECORD_BYTES
    write_details(file.memory, place, 3, Details(duration_ns=3))
    batch = file.read(9, waits_for_holes=False)
    assert (numbers(batch), batch.dropped, batch.last) == ([2], 1, 2)


@pytest.mark.parametrize("text", [b"x", "Grüße ☃".encode(), bytes(range(256)), b"\0"])
def test_text_is_read_back_as_it_was_written(tmp_path: Path, text: bytes) -> None:
    """Texts are bytes; nothing in them ends them early."""
    file = new_file(tmp_path)
    file.store_text(first_text_offset(), text)
    assert open_journal_file(path_of(file)).text(first_text_offset()) == text


def test_owner_is_read_back(tmp_path: Path) -> None:
    """Whoever finds the file knows which process wrote it."""
    owner = Owner("0123456789ab", current_identity())
    create_journal_file(tmp_path, owner, capacity=3, text_bytes=64)
    assert open_journal_file(tmp_path / "0123456789ab.journal").owner == owner


def test_file_is_for_its_owner_only_and_fully_allocated(tmp_path: Path) -> None:
    """No other user reads it, and no later write needs another block of the disk."""
    status = path_of(new_file(tmp_path)).stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_size == HEADER_BYTES + CAPACITY * RECORD_BYTES + TEXT_BYTES
    assert status.st_blocks * 512 >= status.st_size


def test_creation_leaves_no_other_file(tmp_path: Path) -> None:
    """What was written on the way to a journal is gone."""
    file = new_file(tmp_path)
    assert list(tmp_path.iterdir()) == [file.path]


def test_full_disk_is_an_error_at_creation(tmp_path: Path) -> None:
    """A journal that the disk cannot hold is refused at once and leaves no trace."""
    owner = Owner("full", current_identity())
    with pytest.raises(OSError, match=r"space|large"):
        create_journal_file(tmp_path, owner, capacity=3, text_bytes=2**55)
    assert list(tmp_path.iterdir()) == []


def test_vanished_folder_is_an_error_at_creation(tmp_path: Path) -> None:
    """It is the caller who falls back to memory."""
    with pytest.raises(FileNotFoundError):
        new_file(tmp_path / "gone")


def test_journal_in_memory_has_no_path() -> None:
    """Without a folder the same layout lies in memory; deleting it does nothing."""
    file = new_file(None)
    fill(new_journal(file), 2)
    file.delete()
    assert file.path is None
    assert numbers(file.read(9, waits_for_holes=True)) == [1, 2]


def test_deleted_file_stays_usable_for_who_has_it(tmp_path: Path) -> None:
    """A record written after the deletion neither fails nor is lost to its mapping."""
    file = new_file(tmp_path)
    file.delete()
    file.delete()
    fill(new_journal(file), 1)
    assert file.unsettled() == 1


def test_read_returns_at_most_what_was_asked_for() -> None:
    """The rest comes with the next read, once the first part is acknowledged."""
    file = new_file(None)
    fill(new_journal(file), 5)
    first = file.read(3, waits_for_holes=True)
    assert (numbers(first), first.last) == ([1, 2, 3], 3)
    file.acknowledge(first.last)
    assert numbers(file.read(3, waits_for_holes=True)) == [4, 5]


def test_unacknowledged_records_are_read_again() -> None:
    """Reading alone settles nothing."""
    file = new_file(None)
    fill(new_journal(file), 2)
    assert file.read(9, waits_for_holes=True) == file.read(9, waits_for_holes=True)
    assert file.unsettled() == 2


@pytest.mark.parametrize(
    ("made", "acknowledged", "lost"), [(10, 0, 0), (11, 0, 1), (27, 3, 14), (27, 26, 0)]
)
def test_overflow_drops_the_oldest_and_counts_them(
    made: int, acknowledged: int, lost: int
) -> None:
    """A ring of ten keeps the newest ten, whatever was settled before."""
    file = new_file(None, capacity=10)
    fill(new_journal(file), made)
    file.acknowledge(acknowledged)
    batch = file.read(99, waits_for_holes=True)
    assert batch.dropped == lost
    assert numbers(batch) == list(range(acknowledged + lost + 1, made + 1))
    assert batch.last == made


def test_torn_last_record_does_not_count(tmp_path: Path) -> None:
    """A kill in the middle of a record leaves everything before it deliverable."""
    file = new_file(tmp_path)
    fill(new_journal(file), 4)
    tear(file, 4)
    found = open_journal_file(path_of(file))
    assert numbers(found.read(9, waits_for_holes=True)) == [1, 2, 3]
    assert found.unsettled() == 3


def test_torn_record_over_an_old_one_loses_both_and_counts_the_old(
    tmp_path: Path,
) -> None:
    """In a full ring a torn record has overwritten the oldest."""
    file = new_file(tmp_path, capacity=4)
    fill(new_journal(file), 5)
    tear(file, 5)
    batch = open_journal_file(path_of(file)).read(9, waits_for_holes=False)
    assert (numbers(batch), batch.dropped) == ([2, 3, 4], 1)


def test_hole_is_waited_for_once_and_then_counted(tmp_path: Path) -> None:
    """A record whose thread may still be writing it holds back what is after it."""
    file = new_file(tmp_path)
    fill(new_journal(file), 4)
    tear(file, 2)
    waiting = file.read(9, waits_for_holes=True)
    assert (numbers(waiting), waiting.last, waiting.dropped) == ([1], 1, 0)
    file.acknowledge(1)
    resolved = file.read(9, waits_for_holes=False)
    assert (numbers(resolved), resolved.last, resolved.dropped) == ([3, 4], 4, 1)


def test_sealed_end_is_respected() -> None:
    """Records beyond the seal are no part of the journal: they are recorded again."""
    file = new_file(None)
    for number in range(1, 6):
        store(file, number)
    file.seal(3)
    assert file.is_sealed
    assert numbers(file.read(9, waits_for_holes=False)) == [1, 2, 3]
    assert file.unsettled() == 3


def test_journal_sealed_empty_is_sealed() -> None:
    """A seal before the first record is one, and leaves nothing to deliver."""
    file = new_file(None)
    assert not file.is_sealed
    file.seal(0)
    assert file.is_sealed
    assert file.unsettled() == 0


def test_sealed_journal_waits_for_a_record_that_is_still_being_written() -> None:
    """A number given out before the seal counts, though its record is not there yet."""
    file = new_file(None)
    store(file, 1)
    file.seal(2)
    file.acknowledge(1)
    assert file.unsettled() == 1
    store(file, 2)
    assert numbers(file.read(9, waits_for_holes=True)) == [2]


def test_record_that_a_sealed_journal_lacks_is_counted() -> None:
    """A kill between number and record loses that record and says so."""
    file = new_file(None)
    store(file, 1)
    file.seal(2)
    batch = file.read(9, waits_for_holes=False)
    assert (numbers(batch), batch.last, batch.dropped) == ([1], 2, 1)


def test_record_that_overwrites_during_a_read_is_counted() -> None:
    """A slot that holds a later number than expected was lost to the overflow."""
    file = new_file(None, capacity=4)
    fill(new_journal(file), 4)
    store(file, 6)
    file.seal(4)
    batch = file.read(9, waits_for_holes=True)
    assert (numbers(batch), batch.dropped) == ([1, 3, 4], 1)


@pytest.mark.parametrize("offset", [1, 7, TEXT_BYTES - 3, TEXT_BYTES, 2**32 - 1])
def test_text_reference_outside_is_an_error(offset: int) -> None:
    """A damaged reference is a ValueError and never a read beyond the texts."""
    with pytest.raises(ValueError, match="damaged"):
        new_file(None).text(offset)


def test_text_longer_than_the_room_for_texts_is_an_error(tmp_path: Path) -> None:
    """A damaged length is a ValueError as well."""
    file = new_file(tmp_path)
    texts = HEADER_BYTES + CAPACITY * RECORD_BYTES
    overwrite(file, texts + first_text_offset(), struct.pack("<I", TEXT_BYTES))
    with pytest.raises(ValueError, match="damaged"):
        file.text(first_text_offset())


def test_text_that_never_reached_the_disk_is_an_error(tmp_path: Path) -> None:
    """After a power failure a page of texts may be zeros: no text is empty."""
    with pytest.raises(ValueError, match="damaged"):
        new_file(tmp_path).text(first_text_offset())


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1, HEADER_BYTES])
def test_file_too_short_for_a_header_is_refused(tmp_path: Path, size: int) -> None:
    """An interrupted creation is recognised."""
    path = tmp_path / "short.journal"
    path.write_bytes(bytes(size))
    with pytest.raises(ValueError, match="no journal"):
        open_journal_file(path)


def test_file_too_large_is_refused_without_being_read(tmp_path: Path) -> None:
    """A file of many gigabytes, sparse or not, is not mapped."""
    path = tmp_path / "huge.journal"
    with path.open("wb") as raw:
        raw.truncate(2**40)
    with pytest.raises(ValueError, match="no journal"):
        open_journal_file(path)


@pytest.mark.parametrize(
    ("place", "data"),
    [
        pytest.param(0, b"LGJRNL1\n", id="another format"),
        pytest.param(0, bytes(8), id="no magic"),
        pytest.param(CAPACITY_AT, struct.pack("<Q", 2**63), id="capacity large"),
        pytest.param(
            CAPACITY_AT, struct.pack("<QQ", 0, TEXT_BYTES + RECORD_BYTES), id="none"
        ),
        pytest.param(TEXTS_AT, struct.pack("<Q", 2**63), id="texts large"),
        pytest.param(OWNER_AT, struct.pack("<I", 2**32 - 1), id="owner too long"),
        pytest.param(OWNER_AT, bytes(4), id="owner empty"),
        pytest.param(OWNER_AT + 4, b"\xff\xff", id="owner not JSON"),
        pytest.param(OWNER_AT, struct.pack("<I2s", 2, b"[]"), id="owner a list"),
        pytest.param(OWNER_AT, struct.pack("<I2s", 2, b"{}"), id="owner without nonce"),
        pytest.param(OWNER_AT, struct.pack("<I4s", 4, b"null"), id="owner null"),
    ],
)
def test_damaged_header_is_refused(tmp_path: Path, place: int, data: bytes) -> None:
    """Whatever is wrong with a header, the file is no journal."""
    file = new_file(tmp_path, capacity=1)
    overwrite(file, place, data)
    with pytest.raises(ValueError, match="no journal"):
        open_journal_file(path_of(file))


def test_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in the journals' folder is refused, wherever it leads."""
    link = tmp_path / "link.journal"
    link.symlink_to(path_of(new_file(tmp_path)))
    with pytest.raises(OSError, match=r"[Ll]inks"):
        open_journal_file(link)


def test_damaged_acknowledgement_delivers_nothing_and_raises_nothing(
    tmp_path: Path,
) -> None:
    """A journal acknowledged beyond its end has nothing left."""
    file = new_file(tmp_path)
    fill(new_journal(file), 3)
    file.acknowledge(2**60)
    assert file.unsettled() == 0
    assert file.read(9, waits_for_holes=False).records == []


def test_record_with_a_damaged_text_reference_is_still_read(tmp_path: Path) -> None:
    """Reading does not look at texts, so the damage stays with one record."""
    file = new_file(tmp_path)
    fill(new_journal(file), 1)
    store(file, 2, site=TEXT_BYTES)
    assert numbers(file.read(9, waits_for_holes=True)) == [1, 2]
    with pytest.raises(ValueError, match="damaged"):
        signals_in(file)


def test_flight_is_seen_by_another_reader(tmp_path: Path) -> None:
    """A sender marks what is on its way in the file itself."""
    file = new_file(tmp_path)
    other = open_journal_file(path_of(file))
    file.set_in_flight(is_in_flight=True)
    assert other.is_in_flight
    file.set_in_flight(is_in_flight=False)
    assert not other.is_in_flight


def test_opening_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """What a mapping keeps open goes with it, since a server has few."""
    path = path_of(new_file(tmp_path))
    before = descriptors()
    found = open_journal_file(path)
    # A mapping duplicates its descriptor; it goes with the mapping.
    assert descriptors() <= before + 1
    del found
    assert descriptors() == before


def test_page_size_divides_the_header() -> None:
    """Records begin on a page of their own, so a header write touches no record."""
    assert HEADER_BYTES % mmap.PAGESIZE == 0
