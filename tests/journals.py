"""Journals, recorders and processes that have ended, for tests of the telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import orjson

from liteguard.process import identity
from liteguard.process.identity import ProcessIdentity, current_identity
from liteguard.telemetry.execution import new_id
from liteguard.telemetry.happening import OPEN, Happening
from liteguard.telemetry.journal import Journal
from liteguard.telemetry.journal_file import JournalFile, Owner
from liteguard.telemetry.journal_folder import create_journal_file
from liteguard.telemetry.journals import Journals
from liteguard.telemetry.recorder import Recorder
from liteguard.telemetry.records import Details
from liteguard.telemetry.signals import SignalEncoder
from liteguard.telemetry.waiting import Standby

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    from liteguard.telemetry.adoption import Adopter

HEADER_BYTES = 4096
RECORD_BYTES = 88
CAPACITY = 2000
NEVER = 10**9
TEXT_BYTES = 64 * 1024
PROGRAM_SECONDS = 30.0


def ended_process() -> ProcessIdentity:
    """Return the identity of a process that has ended."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return replace(current_identity(), pid=ended.pid, start_ticks=1)


def other_process() -> ProcessIdentity:
    """Return the identity of another process that is alive: the one that runs us."""
    parent = os.getppid()
    return replace(
        current_identity(), pid=parent, start_ticks=identity._start_ticks(parent) or 0
    )


def new_file(
    folder: Optional[Path],
    *,
    owner: Optional[ProcessIdentity] = None,
    capacity: int = CAPACITY,
    text_bytes: int = TEXT_BYTES,
) -> JournalFile:
    """Make an empty journal, by default of this process."""
    whose = Owner(new_id(), owner or current_identity())
    return create_journal_file(folder, whose, capacity=capacity, text_bytes=text_bytes)


def store(file: JournalFile, number: int, **fields: Any) -> None:
    """Write a record into a journal by hand; a field that is not given is 0."""
    seconds = fields.pop("seconds", time.time())
    site, properties = fields.pop("site", 0), fields.pop("properties", 0)
    readings = fields.pop("readings", 0)
    details = Details(**fields) if fields else None
    file.store(number, seconds, site, properties, readings, details)


def new_journal(file: JournalFile) -> Journal:
    """Return what writes into *file*, and tells nobody how much."""
    return Journal(file, NEVER, lambda: None)


def site_in(journal: Journal, **fields: Any) -> int:
    """Write a site, by default of an open check, and return where it lies."""
    site = {
        "guardName": "a.guard",
        "result": True,
        "callsiteId": "app.py:7",
        "kind": "guard_check",
        **fields,
    }
    text = orjson.dumps(site)
    return journal.find(text) or journal.write_text(text, text)


def fill(journal: Journal, count: int) -> None:
    """Append *count* records of one guard."""
    for _ in range(count):
        assert journal.append(time.time(), site_in(journal), 0, 0)


def left_behind(folder: Path, count: int, **more: Any) -> JournalFile:
    """Leave a journal with *count* records of a process that has ended."""
    file = new_file(folder, owner=ended_process(), **more)
    fill(new_journal(file), count)
    return file


def ids(file: JournalFile, count: int) -> list[str]:
    """Return the ids of a journal's first *count* signals."""
    return [f"{file.owner.nonce}-{number:x}" for number in range(1, count + 1)]


def happening(guard: str = "a.guard", **fields: Any) -> Happening:
    """Return an open check of *guard* made on the line of the caller."""
    frame = sys._getframe(1)
    happened = Happening(guard, OPEN, b"{}", frame.f_code, frame.f_lasti)
    return happened._replace(**fields)


def new_recorder(
    folder: Optional[Path],
    *,
    owner: Optional[ProcessIdentity] = None,
    capacity: int = CAPACITY,
    flush_size: int = 500,
    on_many: Callable[[], None] = lambda: None,
) -> Recorder:
    """Make a recorder, by default of this process."""
    journals = Journals(
        folder,
        owner or current_identity(),
        capacity=capacity,
        flush_size=flush_size,
        on_many=on_many,
        is_measured=True,
        lease_seconds=0.0,
    )
    return Recorder(standby=Standby(capacity), journals=journals, max_waiting=capacity)


def claimed_by(adopter: Adopter) -> Iterator[JournalFile]:
    """Open what an adopter has claimed, one after another."""
    for path in adopter.claimed():
        file = adopter.open(path)
        if file is not None:
            try:
                yield file
            finally:
                adopter.let_go(path)


def signals_in(file: JournalFile) -> list[dict[str, Any]]:
    """Return what a journal holds, in the wire form, without acknowledging it."""
    batch = file.read(file.capacity, waits_for_holes=False)
    encoder = SignalEncoder(file)
    return [orjson.loads(encoder.encode(record)) for record in batch.records]


def signals_of(recorder: Recorder) -> list[dict[str, Any]]:
    """Return all that a recorder holds, over all its journals."""
    recorder.drain()
    return [signal for file in recorder.journals.files() for signal in signals_in(file)]


def descriptors() -> int:
    """Return how many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def in_threads(count: int, action: Callable[[int], None]) -> None:
    """Run *action* in *count* threads, with their numbers, until all have ended."""
    threads = [
        threading.Thread(target=action, args=(number,)) for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def code_of(function: Callable[..., object]) -> CodeType:
    """Return a function's code."""
    return function.__code__


def run_program(
    source: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end and return how it ended."""
    return subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=False,
    )
