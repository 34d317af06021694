"""Corrupt snapshot under load.

Five times a second the snapshot is cut, overwritten, replaced by another's, or removed,
while all processes check.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from pathlib import Path

    from stress.suite.stage import Stage

BESIDE = "it has no snapshot"
PROMISES = (
    promises.one_poller(),
    promises.recovers(within_seconds=1.25),
    promises.none_lost(),
    promises.none_twice(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Damage the snapshot in another way each time, for two thirds of the time."""
    ways = (_cut, _overwrite, _replace, _remove)
    with workers(stage):
        with stage.trouble():
            for number in stage.ticks(0.66, every=0.2):
                for path in stage.state_dir.glob("*/bundle-*.json"):
                    with contextlib.suppress(FileNotFoundError):
                        ways[number % len(ways)](path)
        stage.part(0.34)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(os.urandom(100))


def _replace(path: Path) -> None:
    made = path.with_name("made")
    made.write_bytes(b'{"guards":[]}')
    made.replace(path)


def _remove(path: Path) -> None:
    path.unlink()
