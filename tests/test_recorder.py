"""Recording: nothing lost and nothing twice, over seals, threads and full disks."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Callable

import pytest

from disks import SmallDisk
from journals import (
    descriptors,
    happening,
    in_threads,
    new_recorder,
    signals_in,
    signals_of,
)
from liteguard.process.turns import Turn
from liteguard.telemetry.execution import Execution, signal_id
from liteguard.telemetry.happening import EXECUTION, OPEN
from liteguard.telemetry.journal_folder import open_journal_file
from liteguard.telemetry.waiting import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from liteguard.telemetry.recorder import Recorder

LONG = b'{"x": "' + b"a" * 8000 + b'"}'


def long_properties(number: int) -> bytes:
    """Return properties that no other record has, and that take much room."""
    return LONG.replace(b"a", str(number).encode(), 1)


def ids(recorder: Recorder) -> list[str]:
    """Return the ids of all that a recorder holds."""
    return [signal["signalId"] for signal in signals_of(recorder)]


def lost(recorder: Recorder) -> int:
    """Return how many signals were lost and are to be reported."""
    files = recorder.journals.files()
    return recorder.journals.take_lost() + sum(file.unreported for file in files)


def accounted(recorder: Recorder) -> int:
    """Return how many records are there or are counted as dropped."""
    dropped = sum(
        file.read(file.capacity, waits_for_holes=False).dropped
        for file in recorder.journals.files()
    )
    return len(ids(recorder)) + dropped + recorder.journals.take_lost()


def test_no_journal_is_made_before_the_first_record(tmp_path: Path) -> None:
    """Many processes never make a check."""
    recorder = new_recorder(tmp_path)
    assert recorder.journals.files() == []
    assert list(tmp_path.iterdir()) == []
    recorder.record(happening())
    assert len(list(tmp_path.iterdir())) == 1


def test_record_returns_the_id_of_its_signal(tmp_path: Path) -> None:
    """Whoever recorded a check can name it as the parent of an execution."""
    recorder = new_recorder(tmp_path)
    references = [recorder.record(happening()) for _ in range(3)]
    assert [signal_id(found) for found in references if found] == ids(recorder)


def test_signal_tells_what_happened(tmp_path: Path) -> None:
    """Every field of a check arrives."""
    recorder = new_recorder(tmp_path)
    line = sys._getframe().f_lineno + 1
    recorder.record(happening("a.guard", properties=b'{"plan": "pro"}'))
    (signal,) = signals_of(recorder)
    assert signal["guardName"] == "a.guard"
    assert signal["kind"] == "guard_check"
    assert signal["result"] is True
    assert signal["properties"] == {"plan": "pro"}
    assert signal["callsiteId"] == f"{__file__}:{line}"
    assert signal["executionId"] == signal["signalId"]
    assert signal["sequenceNumber"] == 1
    assert "parentSignalId" not in signal
    assert "measurement" not in signal
    assert "rateLimitDecisions" not in signal


def test_closed_check_is_told_from_an_open_one(tmp_path: Path) -> None:
    """The result is the answer that the caller got."""
    recorder = new_recorder(tmp_path)
    for flags in (OPEN, 0):
        recorder.record(happening(flags=flags))
    assert [signal["result"] for signal in signals_of(recorder)] == [True, False]


def test_execution_tells_duration_end_and_error(tmp_path: Path) -> None:
    """What failed names the class of its exception, and what ended well does not."""
    recorder = new_recorder(tmp_path)
    well = happening(flags=OPEN | EXECUTION, duration_ns=2**40, is_measured=True)
    recorder.record(well)
    recorder.record(well._replace(error="KeyError"))
    first, second = (
        signal["measurement"]["guardExecution"] for signal in signals_of(recorder)
    )
    assert (first["durationNs"], first["completed"]) == (2**40, True)
    assert "errorClass" not in first
    assert (second["completed"], second["errorClass"]) == (False, "KeyError")


@pytest.mark.parametrize("name", ["\ud800", "Grüße ☃", "x" * 5000, "☃" * 2000, "\0"])
def test_any_name_is_recorded(tmp_path: Path, name: str) -> None:
    """A name is cut and its half surrogates replaced, and the record arrives."""
    recorder = new_recorder(tmp_path)
    recorder.record(happening(name, error=name))
    (signal,) = signals_of(recorder)
    assert 0 < len(signal["guardName"].encode()) <= 1026


def test_line_of_each_call_is_its_own(tmp_path: Path) -> None:
    """Two checks on one line share a call site, and two lines do not."""
    recorder = new_recorder(tmp_path)
    for _ in range(2):
        recorder.record(happening())
    recorder.record(happening())
    lines = [
        int(signal["callsiteId"].rpartition(":")[2]) for signal in signals_of(recorder)
    ]
    assert lines[0] == lines[1] < lines[2]


def test_code_compiled_at_run_time_has_a_call_site(tmp_path: Path) -> None:
    """Whatever its file is called, and however long."""
    recorder = new_recorder(tmp_path)
    scope: dict[str, Any] = {"record": recorder.record, "happening": happening}
    for file in ("<string>", "\ud800.py", "", "x" * 10_000_000):
        exec(compile("\nrecord(happening())", file, "exec"), scope)  # noqa: S102  our own
    sites = [signal["callsiteId"] for signal in signals_of(recorder)]
    assert sites == ["<string>:2", "?.py:2", ":2", "x" * 1022 + ":2"]


# -- seals


def test_record_after_a_seal_begins_another_journal(tmp_path: Path) -> None:
    """A park seals, and the next check goes on in a new journal with other ids."""
    recorder = new_recorder(tmp_path)
    for _ in range(3):
        recorder.record(happening())
        recorder.journals.seal()
        recorder.journals.seal()
    assert [file.is_sealed for file in recorder.journals.files()] == [True] * 3
    assert len(set(ids(recorder))) == recorder.recorded == recorder.buffered == 3


def test_seal_without_a_record_makes_no_journal(tmp_path: Path) -> None:
    """Parking a process that made no check costs nothing."""
    recorder = new_recorder(tmp_path)
    recorder.journals.seal()
    assert recorder.journals.files() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_threads_take_turns_all_the_time")
def test_records_of_threads_over_many_seals_are_each_there_once(
    tmp_path: Path,
) -> None:
    """However a seal meets a record, that record is in one journal, before or after."""
    recorder = new_recorder(tmp_path, capacity=20_000)
    is_over = threading.Event()
    made: Counter[str] = Counter()

    def check(thread: int) -> None:
        for number in range(400):
            recorder.record(happening(f"guard-{thread}-{number}"))
            made[f"guard-{thread}-{number}"] += 1

    def seal() -> None:
        while not is_over.wait(0.01):
            recorder.journals.seal()

    sealer = threading.Thread(target=seal)
    sealer.start()
    in_threads(4, check)
    is_over.set()
    sealer.join()
    signals = signals_of(recorder)
    found = Counter(signal["guardName"] for signal in signals)
    assert len({signal["signalId"] for signal in signals}) == len(signals)
    assert len(found) + lost(recorder) == len(made) == 1600
    assert set(found.values()) == {1}


@pytest.mark.usefixtures("_threads_take_turns_all_the_time")
def test_seal_never_loses_sight_of_a_journal(tmp_path: Path) -> None:
    """A seal that meets the making of a journal leaves it in the recorder's list."""
    recorder = new_recorder(tmp_path, capacity=2000)
    is_over = threading.Event()

    def seal() -> None:
        while not is_over.is_set():
            recorder.journals.seal()

    sealer = threading.Thread(target=seal)
    sealer.start()
    for _ in range(40):
        recorder.record(happening())
    is_over.set()
    sealer.join()
    held = {file.path for file in recorder.journals.files() if file.unsettled()}
    on_disk = {path for path in tmp_path.iterdir() if path.suffix == ".journal"}
    assert held <= on_disk
    # One without a record that has losses to report is left to the next leader.
    left = on_disk.difference(file.path for file in recorder.journals.files())
    lost_on_disk = sum(open_journal_file(path).unreported for path in left)
    assert len(ids(recorder)) + lost(recorder) + lost_on_disk == 40


def test_reference_is_that_of_the_own_record_though_others_wait(
    tmp_path: Path,
) -> None:
    """Whoever writes what others have queued is told of its own."""
    recorder = new_recorder(tmp_path)
    references: dict[str, str] = {}
    begun = threading.Barrier(8)

    def check(thread: int) -> None:
        begun.wait()
        for number in range(20):
            name = f"guard-{thread}-{number}"
            found = recorder.record(happening(name))
            if found is not None:
                references[name] = signal_id(found)
            recorder.journals.seal()

    in_threads(8, check)
    names = {signal["signalId"]: signal["guardName"] for signal in signals_of(recorder)}
    assert references
    assert {names[signal]: signal for signal in references.values()} == references


def test_queued_record_keeps_its_own_execution(tmp_path: Path) -> None:
    """A record that another thread writes belongs to the execution it was made in."""
    recorder = new_recorder(tmp_path)
    executions: dict[str, str] = {}
    begun = threading.Barrier(8)

    def check(thread: int) -> None:
        with Execution() as execution:
            executions[f"guard-{thread}"] = execution.execution_id
            begun.wait()
            for _ in range(20):
                recorder.record(happening(f"guard-{thread}"))
                recorder.journals.seal()

    in_threads(8, check)
    for signal in signals_of(recorder):
        assert signal["executionId"] == executions[signal["guardName"]]


def test_record_that_is_queued_at_the_last_moment_is_written(tmp_path: Path) -> None:
    """Whoever has just written the queue looks at it once more."""
    late = [Entry(happening("late"), 1.0, None)]

    class Late(Turn):
        """A turn at whose end something is queued, as by another thread."""

        def call(self, action: Callable[[], Any], timeout_seconds: float = 0.0) -> Any:
            super().call(action, timeout_seconds)
            if late:
                recorder._queue(late.pop())

    recorder = new_recorder(tmp_path)
    recorder._making = Late()
    recorder.record(happening("early"))
    held = [
        s["guardName"] for file in recorder.journals.files() for s in signals_in(file)
    ]
    assert held == ["early", "late"]


def test_oldest_that_waits_for_a_journal_goes_first(tmp_path: Path) -> None:
    """While one thread makes a journal, the queue of the others is bounded."""
    recorder = new_recorder(tmp_path, capacity=3)
    with recorder._making._lock:
        for number in range(5):
            assert recorder.record(happening(f"guard-{number}")) is None
    assert recorder.recorded == 2
    recorder.drain()
    names = [signal["guardName"] for signal in signals_of(recorder)]
    assert names == ["guard-2", "guard-3", "guard-4"]
    assert lost(recorder) == 2
    assert recorder.recorded == 5


# -- bounds


def test_ring_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    """A journal keeps the newest records of a process that nobody delivers."""
    recorder = new_recorder(tmp_path, capacity=10)
    made = [recorder.record(happening()) for _ in range(34)]
    assert ids(recorder) == [signal_id(found) for found in made[-10:] if found]
    assert accounted(recorder) == 34


def test_full_texts_begin_another_journal(tmp_path: Path) -> None:
    """Properties that differ with each check fill a journal long before its records."""
    recorder = new_recorder(tmp_path)
    for number in range(100):
        recorder.record(happening(properties=long_properties(number)))
    assert len(recorder.journals.files()) == 2
    assert [signal["properties"]["x"][:2] for signal in signals_of(recorder)][
        -1
    ] == "99"
    assert recorder.buffered == 100


@pytest.mark.parametrize("folder", [True, False])
def test_what_waits_is_bounded_while_nobody_delivers(
    tmp_path: Path, *, folder: bool
) -> None:
    """Disk, memory and descriptors stay bounded, and what finds no room is counted."""
    recorder = new_recorder(tmp_path if folder else None, capacity=100)
    before = descriptors()
    for number in range(1000):
        recorder.record(happening(properties=long_properties(number)))
    assert len(recorder.journals.files()) <= 4
    assert descriptors() <= before + 4
    assert recorder.buffered <= 200
    assert accounted(recorder) == recorder.recorded == 1000


def test_seals_are_bounded_while_nobody_delivers(tmp_path: Path) -> None:
    """A parent that forks for every job does not fill the disk with its journals."""
    recorder = new_recorder(tmp_path)
    for _ in range(200):
        recorder.record(happening())
        recorder.journals.seal()
    assert len(list(tmp_path.iterdir())) <= 51
    assert accounted(recorder) == 200


def test_delivered_journals_make_room_again(tmp_path: Path) -> None:
    """Whoever delivered them: a leader acknowledges in the same mapping."""
    recorder = new_recorder(tmp_path, capacity=2)
    for _ in range(4):
        for _ in range(2):
            assert recorder.record(happening()) is not None
        recorder.journals.seal()
        for file in recorder.journals.files():
            file.acknowledge(2)
    assert recorder.record(happening()) is not None
    assert lost(recorder) == 0
    assert len(recorder.journals.files()) == 1


def test_oldest_sealed_journal_goes_first_and_is_counted(tmp_path: Path) -> None:
    """The newest records tell most of what happens, so they are what is kept."""
    recorder = new_recorder(tmp_path, capacity=10)
    for number in range(6):
        for _ in range(5):
            recorder.record(happening(f"guard-{number}"))
        recorder.journals.seal()
    recorder.record(happening("last"))
    kept = [signal["guardName"] for signal in signals_of(recorder)]
    assert kept == ["guard-5"] * 5 + ["last"]
    assert lost(recorder) == 25
    assert len(list(tmp_path.iterdir())) == 2


def test_sealed_journal_that_is_on_its_way_is_not_dropped(tmp_path: Path) -> None:
    """It may have arrived, and would then be both delivered and reported lost."""
    recorder = new_recorder(tmp_path, capacity=2)
    for number in range(3):
        for _ in range(2):
            recorder.record(happening(f"guard-{number}"))
        recorder.journals.files()[0].set_in_flight(is_in_flight=True)
        recorder.journals.seal()
    recorder.record(happening("last"))
    kept = [signal["guardName"] for signal in signals_of(recorder)]
    assert kept == ["guard-0"] * 2 + ["last"]
    assert lost(recorder) == 4


def test_claimed_journal_is_not_counted_as_lost(tmp_path: Path) -> None:
    """Whoever has claimed it delivers it, though its owner had to forget it."""
    recorder = new_recorder(tmp_path, capacity=2)
    for _ in range(2):
        recorder.record(happening())
    recorder.journals.seal()
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / f"{path.stem}.claim-1-1-1-1")
    recorder.record(happening("last"))
    assert [signal["guardName"] for signal in signals_of(recorder)] == ["last"]
    assert lost(recorder) == 0


def test_many_waiting_records_ask_for_a_flush() -> None:
    """One signal for each `flush_size` records, and one when many journals wait."""
    asked: list[int] = []
    recorder = new_recorder(None, flush_size=5, on_many=lambda: asked.append(1))
    for _ in range(14):
        recorder.record(happening())
    assert len(asked) == 2
    for _ in range(12):
        recorder.journals.seal()
        recorder.record(happening())
    assert len(asked) > 4


# -- trouble with the disk


def test_vanished_folder_makes_journals_memory_with_one_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No check fails, nothing is lost while the process lives, and its end is said."""
    caplog.set_level(logging.INFO, logger="liteguard")
    folder = tmp_path / "journals"
    recorder = new_recorder(folder)
    for _ in range(3):
        assert recorder.record(happening()) is not None
        recorder.journals.seal()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(folder) in caplog.text
    folder.mkdir()
    assert recorder.record(happening()) is not None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert [file.path is None for file in recorder.journals.files()] == [
        True,
        True,
        True,
        False,
    ]
    assert len(ids(recorder)) == 4


def test_folder_deleted_under_a_journal_disturbs_nobody(tmp_path: Path) -> None:
    """Records go on into the mapping, which is what the flush thread reads."""
    folder = tmp_path / "journals"
    folder.mkdir()
    recorder = new_recorder(folder)
    recorder.record(happening())
    shutil.rmtree(folder)
    recorder.record(happening())
    assert len(ids(recorder)) == 2


def test_folder_that_is_a_file_makes_journals_memory(tmp_path: Path) -> None:
    """Whatever is wrong with the folder."""
    path = tmp_path / "journals"
    path.touch()
    recorder = new_recorder(path)
    assert recorder.record(happening()) is not None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a disk that a test may fill."""
    disk = SmallDisk(tmp_path)
    yield disk
    disk.close()


def test_full_disk_makes_journals_memory_until_there_is_room(
    small_disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full at creation, which is an error and never a SIGBUS."""
    small_disk.fill()
    recorder = new_recorder(small_disk.path)
    for number in range(2000):
        recorder.record(happening(f"guard-{number}"))
    assert len(caplog.records) == 1
    assert list(small_disk.path.glob("*journal*")) == []
    small_disk.empty()
    recorder.journals.files()[0].acknowledge(1900)
    recorder.journals.seal()
    recorder.record(happening())
    assert [file.path is None for file in recorder.journals.files()] == [True, False]
    assert len(ids(recorder)) == 101


def test_disk_that_fills_up_under_a_journal_loses_nothing(
    small_disk: SmallDisk,
) -> None:
    """Every block of a journal is there from the beginning."""
    recorder = new_recorder(small_disk.path)
    recorder.record(happening())
    small_disk.fill()
    for number in range(1999):
        recorder.record(happening(properties=b'{"n": %d}' % number))
    assert recorder.journals.files()[0].path is not None
    assert len(ids(recorder)) == 2000


# -- executions


def test_signals_of_one_execution_are_numbered_and_linked(tmp_path: Path) -> None:
    """Each names the one before it, over a seal as well."""
    recorder = new_recorder(tmp_path)
    with Execution() as execution:
        for _ in range(2):
            recorder.record(happening())
        recorder.journals.seal()
        recorder.record(happening())
    signals = signals_of(recorder)
    assert {signal["executionId"] for signal in signals} == {execution.execution_id}
    assert [signal["sequenceNumber"] for signal in signals] == [1, 2, 3]
    parents = [signal.get("parentSignalId") for signal in signals]
    assert parents == [None, signals[0]["signalId"], signals[1]["signalId"]]


def test_parent_that_is_given_beats_the_last_signal(tmp_path: Path) -> None:
    """An execution follows its own check, whatever was checked within it."""
    recorder = new_recorder(tmp_path)
    with Execution():
        check = recorder.record(happening("outer"))
        recorder.record(happening("inner"))
        recorder.record(happening("outer", flags=OPEN | EXECUTION, parent=check))
    signals = signals_of(recorder)
    assert signals[2]["parentSignalId"] == signals[0]["signalId"]
    assert signals[2]["sequenceNumber"] == 3


def test_concurrent_tasks_of_one_execution_share_its_numbers(tmp_path: Path) -> None:
    """No number is given twice."""
    recorder = new_recorder(tmp_path)

    async def check() -> None:
        for _ in range(5):
            recorder.record(happening())
            await asyncio.sleep(0)

    async def main() -> None:
        with Execution():
            await asyncio.gather(*(check() for _ in range(4)))

    asyncio.run(main())
    signals = signals_of(recorder)
    assert sorted(s["sequenceNumber"] for s in signals) == list(range(1, 21))
    assert len({signal["executionId"] for signal in signals}) == 1


# -- ending


def test_close_within_the_making_of_a_journal_is_short(tmp_path: Path) -> None:
    """A signal handler that shuts down may interrupt it, and would wait for itself."""
    recorder = new_recorder(tmp_path)
    recorder.record(happening())
    begun = time.monotonic()
    with recorder._making._lock:
        recorder.close(begun + 3600.0)
    assert [file.is_sealed for file in recorder.journals.files()] == [True]
    assert time.monotonic() < begun + 1800.0


def test_nothing_is_recorded_after_the_close(tmp_path: Path) -> None:
    """The journal is sealed for good."""
    recorder = new_recorder(tmp_path)
    recorder.record(happening())
    recorder.close(0.0)
    assert recorder.record(happening()) is None
    assert [file.is_sealed for file in recorder.journals.files()] == [True]
    assert len(ids(recorder)) == 1


def test_journal_is_read_by_others_as_its_recorder_reads_it(tmp_path: Path) -> None:
    """What an adopter finds on disk is what the recorder holds."""
    recorder = new_recorder(tmp_path)
    for number in range(5):
        recorder.record(happening(f"guard-{number}"))
    (path,) = tmp_path.iterdir()
    assert signals_in(open_journal_file(path)) == signals_of(recorder)
