"""All that reads bytes from outside, as functions that must not raise."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from clients import TOKEN, guard, rule
from liteguard.errors import BundleError, SnapshotError
from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable
from liteguard.host.polls import PollLog, PollRecord
from liteguard.host.snapshots import Snapshot, SnapshotStore
from liteguard.process.identity import current_identity
from liteguard.telemetry.adoption import Adopter

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
    """Claim a journal, as a leader does."""
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
            file.unsettled()
            file.newest_seconds()


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
    """Return the beginning of a good journal."""
    from liteguard.telemetry.journal_file import Owner  # noqa: PLC0415
    from liteguard.telemetry.journal_folder import create_journal_file  # noqa: PLC0415

    owner = Owner("0" * 32, current_identity())
    made = create_journal_file(FOLDER, owner, capacity=4, text_bytes=4096)
    assert made.path is not None
    data = made.path.read_bytes()
    made.path.unlink()
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
