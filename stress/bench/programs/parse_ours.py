"""From the bytes of the snapshot on disk to an answer, as a follower reads it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from big_bundle import GUARDS, big_bundle

from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable
from liteguard.host.snapshots import Snapshot, SnapshotStore

PROPERTIES = {"property-3": "value-0"}

path = Path(sys.argv[1]) / "snapshot"
documents = decode_bundle(big_bundle(0)).documents
SnapshotStore(path, "benchmark").write(Snapshot(1, "", 60.0, documents))


def parse() -> float:
    """Return the milliseconds."""
    begun = time.perf_counter()
    snapshot = SnapshotStore(path, "benchmark").read_if_changed()
    assert snapshot is not None  # noqa: S101  it was written above
    guard = GuardTable(snapshot.documents).lookup(f"guard.{GUARDS // 2}")
    assert guard is not None  # noqa: S101  it has the guard
    assert guard.evaluate(PROPERTIES) == (True, 3)  # noqa: S101  and its rules
    return (time.perf_counter() - begun) * 1000


print('["parse"]', flush=True)
for _ in sys.stdin:
    print(json.dumps({"": parse()}), flush=True)
