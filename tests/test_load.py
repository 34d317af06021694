"""What one request carries: from many journals, within its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from journals import happening, left_behind, new_file, new_journal, new_recorder, store
from liteguard.process.identity import current_identity
from liteguard.telemetry.adoption import Adopter
from liteguard.telemetry.load import Load
from liteguard.telemetry.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.telemetry.journal_file import Batch, JournalFile
    from liteguard.telemetry.recorder import Recorder

MEBIBYTE = 1024 * 1024
LARGE = orjson.dumps({"x": "y" * 8000})


def sources_of(recorder: Recorder, folder: Path) -> Sources:
    """Return where a leader's signals come from."""
    return Sources(
        recorder.journals,
        Adopter(folder, current_identity()),
        is_leading=lambda: True,
        life_sign_seconds=60.0,
    )


def filled(sources: Sources, load: Load) -> Load:
    """Fill a load and let go of its journals."""
    sources.claim()
    sources.fill(load)
    sources.put_back(load)
    return load


def test_small_journals_share_a_request(tmp_path: Path) -> None:
    """A host that forks for every job does not pay a request for each."""
    files = [left_behind(tmp_path, 2) for _ in range(20)]
    load = filled(sources_of(new_recorder(tmp_path), tmp_path), Load(500))
    ids = [orjson.loads(orjson.dumps(signal))["signalId"] for signal in load.body()]
    assert len(set(ids)) == len(load) == 40
    assert {one.partition("-")[0] for one in ids} == {f.owner.nonce for f in files}


def test_journals_of_a_request_are_bounded(tmp_path: Path) -> None:
    """Each that is open may cost the application a file descriptor."""
    for _ in range(40):
        left_behind(tmp_path, 1, capacity=2, text_bytes=1000)
    load = filled(sources_of(new_recorder(tmp_path), tmp_path), Load(500))
    assert load.is_full
    assert len(load) == 32


def test_bytes_of_a_request_are_bounded(tmp_path: Path) -> None:
    """Large properties make batches small, and what does not fit comes next."""
    recorder = new_recorder(tmp_path)
    for _ in range(300):
        recorder.record(happening(properties=LARGE))
    sources = sources_of(recorder, tmp_path)
    counts = []
    while (load := filled(sources, Load(500))).has_work:
        counts.append(len(load))
        assert len(orjson.dumps(load.body())) <= MEBIBYTE + len(load) + 10
        load.settle()
    assert sum(counts) == 300
    assert max(counts) < 200
    assert recorder.buffered == 0


def test_signal_larger_than_a_request_is_sent_alone(tmp_path: Path) -> None:
    """A journal of another release may hold one, and it must not block the rest."""
    file = new_file(tmp_path, text_bytes=4 * MEBIBYTE)
    journal = new_journal(file)
    huge = orjson.dumps({"x": "y" * 2 * MEBIBYTE})
    place = journal.write_text("huge", huge)
    site = orjson.dumps({"guardName": "a.guard", "kind": "guard_check"})
    for number in (1, 2):
        site_place = journal.write_text("site", site)
        store(file, number, site=site_place, properties=place)
    file.seal(2)
    sources = sources_of(new_recorder(tmp_path), tmp_path)
    for _ in range(2):
        load = filled(sources, Load(500))
        assert len(load) == 1
        load.settle()
    assert not filled(sources, Load(500)).has_work


def test_own_and_adopted_take_turns(tmp_path: Path) -> None:
    """A process that checks without end does not keep the dead from being heard."""
    recorder = new_recorder(tmp_path)
    for _ in range(100):
        recorder.record(happening("own"))
    left_behind(tmp_path, 100)
    sources = sources_of(recorder, tmp_path)
    owners = []
    for _ in range(4):
        load = filled(sources, Load(10))
        signal = orjson.loads(orjson.dumps(load.body()[0]))
        owners.append(signal["guardName"] == "own")
        load.settle()
    assert sorted(owners) == [False, False, True, True]


def test_losses_ride_on_the_first_signal(tmp_path: Path) -> None:
    """Those of all journals together, and on no other signal."""
    for _ in range(3):
        left_behind(tmp_path, 7, capacity=2)
    load = filled(sources_of(new_recorder(tmp_path), tmp_path), Load(500))
    signals = orjson.loads(orjson.dumps(load.body()))
    reported = [signal["droppedSignalsSinceLast"] for signal in signals]
    assert reported == [15] + [0] * 5
    assert load.dropped == 15


def test_journal_with_nothing_but_losses_is_not_work(tmp_path: Path) -> None:
    """There is no signal for them to ride on; they wait for the next."""
    recorder = new_recorder(tmp_path)
    recorder.record(happening())
    sources = sources_of(recorder, tmp_path)
    filled(sources, Load(500)).settle()
    recorder.journals.count_lost(5)
    assert not filled(sources, Load(500)).has_work
    recorder.record(happening())
    assert filled(sources, Load(500)).dropped == 5


@pytest.mark.parametrize("is_finished", [True, False])
def test_losses_of_an_adopted_journal_go_on_to_the_next(
    tmp_path: Path, *, is_finished: bool
) -> None:
    """Its owner counted them and died before it made another record."""
    recorder = new_recorder(tmp_path)
    file = left_behind(tmp_path, 0 if is_finished else 1)
    file.add_lost(3)
    sources = sources_of(recorder, tmp_path)
    load = filled(sources, Load(500))
    load.settle()
    recorder.record(happening())
    assert load.dropped + filled(sources, Load(500)).dropped == 3


@pytest.mark.parametrize("has_folder", [False, True])
def test_journal_that_was_let_go_of_is_not_sent(
    tmp_path: Path, *, has_folder: bool
) -> None:
    """A check that begins a journal may drop another while a load is filled."""
    recorder = new_recorder(tmp_path if has_folder else None, capacity=6)
    made = 0

    def check(count: int) -> None:
        nonlocal made
        for _ in range(count):
            recorder.record(happening())
            made += 1

    for _ in range(3):
        check(3)
        recorder.journals.seal()
    sources = Sources(
        recorder.journals,
        None,
        is_leading=lambda: False,
        life_sign_seconds=60.0,
    )

    class Interrupted(Load):
        """A load while whose first journal is added another thread checks."""

        def add(self, file: JournalFile, *, waits_for_holes: bool) -> Batch:
            batch = super().add(file, waits_for_holes=waits_for_holes)
            if made == 9:
                check(1)
            return batch

    delivered = dropped = 0
    for _ in range(4):
        load = Interrupted(500)
        sources.claim()
        sources.fill(load)
        delivered, dropped = delivered + len(load), dropped + load.dropped
        load.settle()
        sources.put_back(load)
        recorder.journals.forget_delivered()
    assert delivered + dropped == made == 10


def test_full_load_makes_no_holes(tmp_path: Path) -> None:
    """A journal for which there was no room has none of its records missing."""
    recorder = new_recorder(tmp_path)
    for _ in range(300):
        recorder.record(happening(properties=LARGE))
    left_behind(tmp_path, 5)
    sources = sources_of(recorder, tmp_path)
    for _ in range(2):
        assert filled(sources, Load(500)).is_full
        assert not sources.has_holes


def test_journal_is_in_flight_until_it_is_put_back(tmp_path: Path) -> None:
    """Nobody else may send what is on its way."""
    recorder = new_recorder(tmp_path)
    recorder.record(happening())
    sources = sources_of(recorder, tmp_path)
    sources.claim()
    load = Load(500)
    sources.fill(load)
    (file,) = recorder.journals.files()
    assert file.is_in_flight
    sources.put_back(load)
    assert not file.is_in_flight
