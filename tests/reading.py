"""All that reads bytes from outside, as functions that must not raise."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import orjson

from clients import TOKEN, guard, rule
from journals import ended_process, new_file, new_journal, site_in
from liteguard.errors import BundleError, SnapshotError
from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable
from liteguard.host.polls import PollLog, PollRecord
from liteguard.host.snapshots import Snapshot, SnapshotStore
from liteguard.process.identity import current_identity
from liteguard.telemetry.adoption import Adopter
from liteguard.telemetry.load import Load
from liteguard.telemetry.records import Details

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPORARY = tempfile.TemporaryDirectory(prefix="liteguard-reading-")
FOLDER = Path(_TEMPORARY.name)
VALUES = {"user": "a", "n": 7, "x": 1.5, "on": True, "none": None}


def ask_all(documents: Mapping[str, bytes]) -> None:
    """Decide each guard."""
    table = GuardTable(documents)
    for name in table.names():
        table.evaluate(name, VALUES)


def read_bundle(data: bytes) -> None:
    """Read what the backend sent, and ask for all that is in it."""
    with contextlib.suppress(BundleError):
        ask_all(decode_bundle(data).documents)


def read_snapshot(data: bytes) -> None:
    """Read a snapshot, and ask for all that is in it."""
    path = FOLDER / "bundle-1.json"
    path.write_bytes(data)
    with contextlib.suppress(SnapshotError):
        snapshot = SnapshotStore(path, TOKEN).read_if_changed()
        if snapshot is not None:
            ask_all(snapshot.documents)


def read_polls(data: bytes) -> None:
    """Read the record of polls."""
    path = FOLDER / "polls-1.json"
    path.write_bytes(data)
    PollLog(path, "boot", clock=lambda: 1e6).read()


def read_journal(data: bytes) -> None:
    """Claim a journal, encode what is in it, and drop it if it is old."""
    folder = FOLDER / "journals"
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    (folder / f"{1:032x}.journal").write_bytes(data)
    adopter = Adopter(folder, current_identity())
    adopter.claim_all()
    for path in adopter.claimed():
        file = adopter.open(path)
        if file is not None:
            load = Load(500)
            load.pick_up(file)
            load.add(file, waits_for_holes=False)
            orjson.dumps(load.body())
            load.settle()
            load.put_down()
            adopter.drop_if_old(file)


def bundles() -> list[bytes]:
    """Return good bundles."""
    guards = [
        guard("a", rules=[rule("user", "a"), rule("n", 7)], rateLimitPerMinute=5),
        guard("ü", rules=[{**rule("x", "a+b*"), "operator": "REGEX"}]),
    ]
    return [
        json.dumps({"guards": guards, "etag": "1", "refreshRateSeconds": 5}).encode()
    ]


def snapshots() -> list[bytes]:
    """Return a good snapshot."""
    path = FOLDER / "bundle-1.json"
    path.unlink(missing_ok=True)
    documents = {"a": b'{"name":"a","adopted":true}'}
    SnapshotStore(path, TOKEN).write(Snapshot(1, "e", 5.0, documents))
    return [path.read_bytes()]


def polls() -> list[bytes]:
    """Return a good record of polls."""
    path = FOLDER / "polls-1.json"
    PollLog(path, "boot", clock=lambda: 1e6).write(PollRecord("boot", 1.0, 1.0, 61.0))
    return [path.read_bytes()]


def journals() -> list[bytes]:
    """Return a journal of the dead: full of records with all that can belong to one."""
    file = new_file(FOLDER, owner=ended_process(), capacity=8, text_bytes=4096)
    journal = new_journal(file)
    properties = journal.write_text("p", b'{"user":"a"}')
    site = site_in(journal)
    readings = journal.write_text("r", b'{"processRss":1}')
    name = journal.write_text("n", b"0123456789abcdef")
    details = Details(
        parent_number=1,
        duration_ns=5,
        execution=name,
        parent=name,
        limits=0,
        error=name,
        sequence_number=2,
    )
    for number in range(4):
        more = details if number % 2 else None
        journal.append(1e9, site, properties, readings, more)
    journal.seal()
    assert file.path is not None
    data = file.path.read_bytes()
    file.delete()
    return [data]


READERS: dict[str, Callable[[bytes], None]] = {
    "bundle": read_bundle,
    "snapshot": read_snapshot,
    "polls": read_polls,
    "journal": read_journal,
}
EXAMPLES: dict[str, Callable[[], list[bytes]]] = {
    "bundle": bundles,
    "snapshot": snapshots,
    "polls": polls,
    "journal": journals,
}
