"""Corrupt snapshot under load.

Five times a second the snapshot is replaced by a torn one, by one whose header is
damaged or by what is none at all, or it is removed, while all processes check.
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
    ways = (_cut, _damage, _forge, _remove)
    with workers(stage):
        with stage.trouble():
            for number in stage.ticks(0.66, every=0.2):
                for path in stage.state_dir.glob("*/bundle-*.json"):
                    with contextlib.suppress(FileNotFoundError):
                        ways[number % len(ways)](path)
        stage.part(0.34)


def _cut(path: Path) -> None:
    data = path.read_bytes()
    _replace(path, data[: len(data) // 3])


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[30:40] = os.urandom(10)
    _replace(path, bytes(data))


def _forge(path: Path) -> None:
    _replace(path, b'{"guards":[]}')


def _remove(path: Path) -> None:
    path.unlink()


def _replace(path: Path, data: bytes) -> None:
    made = path.with_name("made")
    made.write_bytes(data)
    made.replace(path)
