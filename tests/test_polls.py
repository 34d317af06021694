from __future__ import annotations

import json
import resource
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from forking import in_child
from liteguard.host.polls import PollLog, PollRecord

if TYPE_CHECKING:
    from pathlib import Path

BOOT = "boot-1"
NOW = 1000.0
RECORD = PollRecord(BOOT, asked_at=900.0, confirmed_at=900.0, due_at=960.0)


@pytest.fixture
def path(state_dir: Path) -> Path:
    """Return where the record lies."""
    return state_dir / "polls-1.json"


def new_log(path: Path | None) -> PollLog:
    """Return a log whose clock stands still."""
    return PollLog(path, BOOT, clock=lambda: NOW)


def test_before_the_first_poll_there_is_no_record(path: Path) -> None:
    """A new host has no rhythm yet."""
    assert new_log(path).read() is None
    assert new_log(None).read() is None


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, confirmed_at=None, failures=7, error="no answer \u2026"),
        replace(RECORD, asked_at=0.0, due_at=1e12),
    ],
)
def test_what_one_process_writes_another_reads(path: Path, record: PollRecord) -> None:
    """The record is the host's, not the process's."""
    new_log(path).write(record)
    assert in_child(lambda: asdict(new_log(path).read() or RECORD)) == asdict(record)


def test_without_a_folder_the_record_stays_in_the_process(path: Path) -> None:
    """A process on its own keeps its own rhythm."""
    log = new_log(None)
    log.write(RECORD)
    assert log.read() == RECORD
    assert not path.exists()


def test_the_last_record_counts_whoever_wrote_it(path: Path) -> None:
    """A process that led before keeps to what the leader after it wrote."""
    first, second = new_log(path), new_log(path)
    first.write(RECORD)
    later = replace(RECORD, asked_at=950.0, due_at=1010.0)
    second.write(later)
    assert first.read() == later


def test_a_record_of_another_boot_says_nothing(path: Path) -> None:
    """Monotonic times begin anew with each boot."""
    new_log(path).write(replace(RECORD, boot_id="boot-0"))
    assert new_log(path).read() is None


def test_a_record_of_the_future_says_nothing(path: Path) -> None:
    """A clock that went back does not silence the host until it has caught up."""
    new_log(path).write(replace(RECORD, asked_at=NOW + 1.0, due_at=NOW + 61.0))
    assert new_log(path).read() is None


SPOILT: dict[str, Any] = {
    "no json": b"{",
    "nothing": b"",
    "no object": b"[1]",
    "no fields": b"{}",
    "a field too many": json.dumps({**asdict(RECORD), "more": 1}).encode(),
    "a time that is text": json.dumps({**asdict(RECORD), "due_at": "9"}).encode(),
    "no time": json.dumps({**asdict(RECORD), "asked_at": None}).encode(),
    "a confirmation that is text": json.dumps(
        {**asdict(RECORD), "confirmed_at": "x"}
    ).encode(),
    "failures that are text": json.dumps({**asdict(RECORD), "failures": ""}).encode(),
    "no utf-8": b"\xff\xfe",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_record_is_none(path: Path, how: str) -> None:
    """What cannot be understood is as if it were not there."""
    path.write_bytes(SPOILT[how])
    assert new_log(path).read() is None


def test_a_folder_in_its_place_is_none(path: Path) -> None:
    """What is no file is as if it were not there, to read and to write."""
    path.mkdir()
    log = new_log(path)
    log.write(RECORD)
    assert log.read() == RECORD
    assert new_log(path).read() is None


def test_what_cannot_be_written_is_remembered(path: Path) -> None:
    """On a full disk the process keeps to its own record, not to the old one there."""
    new_log(path).write(RECORD)

    def write_on_a_full_disk() -> float:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        log = new_log(path)
        log.write(replace(RECORD, asked_at=960.0, due_at=1020.0))
        record = log.read()
        return record.due_at if record else 0.0

    assert in_child(write_on_a_full_disk) == 1020.0
    assert new_log(path).read() == RECORD


def test_only_the_owner_can_read_the_record(path: Path) -> None:
    """The last error may name hosts that are nobody else's business."""
    new_log(path).write(RECORD)
    assert path.stat().st_mode & 0o777 == 0o600
