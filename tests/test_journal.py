"""Numbering records and writing texts once, while threads append and a seal comes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from journals import NEVER, fill, in_threads, new_file, new_journal
from liteguard.telemetry.journal import Journal, JournalFull, LeasedJournal
from liteguard.telemetry.journal_file import LEASE_GRACE_NS, text_size
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD = (1.0, 0, 0, 0)


def numbers(journal: Journal) -> list[int]:
    """Return the numbers of all records that count."""
    batch = journal.file.read(journal.file.capacity, waits_for_holes=False)
    assert batch.dropped == 0
    return [record.number for record in batch.records]


def test_numbers_begin_with_one() -> None:
    """0 means that the journal was sealed."""
    journal = new_journal(new_file(None))
    assert [journal.append(*RECORD) for _ in range(3)] == [1, 2, 3]
    assert journal.count == 3


def test_text_is_written_once_and_found_again() -> None:
    """The same key leads to the same place, and takes no further room."""
    journal = new_journal(new_file(None))
    first = journal.write_text("key", b"text")
    assert journal.find("key") == first
    assert journal.write_text("key", b"text") == first
    assert journal.find("other") == 0
    assert journal.write_text("other", b"more") == first + text_size(b"text")
    assert journal.file.text(first) == b"text"


def test_text_that_never_comes_again_is_not_remembered() -> None:
    """What limits decided has counts in it, and would fill memory beside the file."""
    journal = new_journal(new_file(None))
    places = [journal.write_text(None, b"text") for _ in range(2)]
    assert places[1] == places[0] + text_size(b"text")
    assert journal.offsets == {}


def test_text_and_bytes_of_the_same_letters_are_two_texts() -> None:
    """A guard's name is not mistaken for a property document."""
    journal = new_journal(new_file(None))
    assert journal.write_text("a", b"a") != journal.write_text(b"a", b"a")


def test_text_without_room_is_refused_and_leaves_the_rest_usable() -> None:
    """A smaller text may still find room, and what was written stays."""
    journal = new_journal(new_file(None, text_bytes=64))
    first = journal.write_text(1, b"x" * 20)
    with pytest.raises(JournalFull):
        journal.write_text(2, b"y" * 40)
    second = journal.write_text(3, b"z" * 10)
    assert journal.find(2) == 0
    assert journal.file.text(first) == b"x" * 20
    assert journal.file.text(second) == b"z" * 10


@pytest.mark.parametrize("room", range(16, 26))
def test_texts_fill_their_room_to_the_last_byte(room: int) -> None:
    """Nothing is written beyond the end, and nothing that fits is refused."""
    journal = new_journal(new_file(None, text_bytes=room))
    longest = room - 8 - text_size(b"")
    with pytest.raises(JournalFull):
        journal.write_text(1, b"x" * (longest + 1))
    offset = journal.write_text(2, b"x" * longest)
    assert journal.file.text(offset) == b"x" * longest


def test_object_named_by_its_id_is_kept_alive() -> None:
    """Otherwise another object could be given the same id, and its place."""

    class Code:
        """Something that has an id."""

    journal = new_journal(new_file(None))
    code = Code()
    key = id(code)
    journal.write_text(key, b"text", code)
    del code
    assert all(id(Code()) != key for _ in range(1000))


def test_nothing_is_appended_after_the_seal() -> None:
    """What comes later is told so, and is not read."""
    journal = new_journal(new_file(None))
    fill(journal, 2)
    assert journal.seal()
    assert journal.append(*RECORD) == 0
    assert numbers(journal) == [1, 2]
    assert journal.count == 2


def test_one_of_two_seals_ends_the_journal() -> None:
    """The end stays where the first has put it."""
    journal = new_journal(new_file(None))
    fill(journal, 1)
    assert [journal.seal(), journal.seal()] == [True, False]
    assert journal.count == 1


@pytest.mark.usefixtures("_threads_take_turns_all_the_time")
@pytest.mark.parametrize("round_number", range(20))
def test_seal_divides_appends_of_many_threads_exactly(round_number: int) -> None:
    """Every append was told the truth: counted before the seal, or not at all."""
    journal = new_journal(new_file(None, capacity=5000))
    told: list[int] = []
    begun = threading.Barrier(5)

    def append(_thread: int) -> None:
        begun.wait()
        for _ in range(1000):
            number = journal.append(*RECORD)
            if not number:
                return
            told.append(number)

    def seal() -> None:
        begun.wait()
        until(lambda: len(told) >= 50 * round_number)
        journal.seal()

    sealer = threading.Thread(target=seal)
    sealer.start()
    in_threads(4, append)
    sealer.join()
    assert sorted(told) == numbers(journal)
    assert journal.count == len(told)
    assert journal.file.unsettled() == len(told)


@pytest.mark.parametrize("seconds", [0.9, 2.0, 1e9, -1.0])
def test_repetition_needs_readings_of_its_time(seconds: float) -> None:
    """Also where the clock was set back."""
    journal = new_journal(new_file(None))
    assert journal.repeat(seconds, 0, 0) == 0
    journal.readings_from, journal.readings_until = 1.0, 2.0
    assert journal.repeat(seconds, 0, 0) == 0
    assert journal.repeat(1.5, 0, 0) == 1
    assert numbers(journal) == [1]


@pytest.mark.parametrize("is_repeated", [False, True])
def test_append_that_meets_the_seal_is_told_so(*, is_repeated: bool) -> None:
    """A number that is drawn right after the seal's own belongs to no journal."""
    journal = new_journal(new_file(None))
    journal.readings_from, journal.readings_until = 0.0, 2.0
    fill(journal, 1)
    drawn = journal._numbers

    def draw_after_a_seal() -> Iterator[int]:
        journal._numbers = drawn
        journal.seal()
        yield next(drawn)

    journal._numbers = draw_after_a_seal()
    number = journal.repeat(1.0, 0, 0) if is_repeated else journal.append(*RECORD)
    assert number == 0
    assert numbers(journal) == [1]


@pytest.mark.parametrize("is_repeated", [False, True])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_append_of_a_signal_handler_in_the_middle_of_the_seal_is_told_so(
    moment: str, *, is_repeated: bool
) -> None:
    """Neither counted twice nor lost: it is appended to no journal, and says so."""
    journal = new_journal(new_file(None))
    journal.readings_from, journal.readings_until = 0.0, 2.0
    fill(journal, 1)

    def append() -> int:
        return journal.repeat(1.0, 0, 0) if is_repeated else journal.append(*RECORD)

    drawn = journal._numbers
    told: list[int] = []

    def draw_while_a_handler_appends() -> Iterator[int]:
        journal._numbers = drawn
        if moment == "before":
            told.append(append())
        number = next(drawn)
        if moment == "after":
            told.append(append())
        yield number

    journal._numbers = draw_while_a_handler_appends()
    journal.seal()
    assert told == [0]
    assert numbers(journal) == [1]
    assert journal.count == 1


@pytest.mark.usefixtures("_threads_take_turns_all_the_time")
def test_texts_of_many_threads_do_not_overlap() -> None:
    """Each text is what its writer wrote, and each key has one place."""
    journal = new_journal(new_file(None))
    offsets: dict[int, set[int]] = {number: set() for number in range(200)}

    def write(thread: int) -> None:
        for number, places in offsets.items():
            text = str(number).encode() * (1 + number % 7)
            places.add(journal.write_text(number, text))
            if thread % 2:
                places.add(journal.find(number))

    in_threads(4, write)
    for number, places in offsets.items():
        (place,) = places
        assert journal.file.text(place) == str(number).encode() * (1 + number % 7)


def test_leased_journal_takes_records_until_its_lease_is_over() -> None:
    """Then its records are to be written into another."""
    journal = LeasedJournal(new_file(None), NEVER, lambda: None)
    journal.file.lease(time.monotonic_ns() + 10**12)
    assert journal.append(*RECORD) == 1
    journal.file.lease(time.monotonic_ns() - 1)
    assert journal.append(*RECORD) == 0
    assert not journal.file.is_finished
    journal.file.lease(time.monotonic_ns() - LEASE_GRACE_NS - 1)
    assert journal.file.is_finished
    assert numbers(journal) == [1]
