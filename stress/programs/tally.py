"""What one process tells of itself while it runs, in memory that outlives it.

Needs nothing but the standard library, as it runs beside either package.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN = -1
"""The generation of a process that has no bundle."""


class Told(NamedTuple):
    """What a process has told of itself. Moments are monotonic nanoseconds.

    Args:
        pid: The process.
        begun: Checks that were begun.
        made: Checks that have returned.
        wrong: Those of them whose answer was wrong.
        known: The generation of the bundle by which it answers.
        born_at: When it began to look.
        looked_at: When it looked for the last time; 0 if it has not yet.
        longest_ns: The longest that a check took.
        leads: 1 if it leads its host.
    """

    pid: int = 0
    begun: int = 0
    made: int = 0
    wrong: int = 0
    known: int = UNKNOWN
    born_at: int = 0
    looked_at: int = 0
    longest_ns: int = 0
    leads: int = 0


_FORM = struct.Struct(f"={len(Told._fields)}q")
_CELLS = {name: cell for cell, name in enumerate(Told._fields)}


class Tally:
    """The figures of this process, which others can read at any time.

    Written by one thread.

    Args:
        folder: Where those of all processes lie.
    """

    def __init__(self, folder: Path) -> None:
        self.pid = os.getpid()
        now = time.monotonic_ns()
        made = folder / f"{self.pid}-{now}.new"
        made.write_bytes(_FORM.pack(*Told(pid=self.pid, born_at=now)))
        with made.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _FORM.size)
        made.rename(made.with_suffix(".tally"))
        self._cells = memoryview(self._memory).cast("q")

    def add(self, name: str, number: int) -> None:
        """Add to a figure."""
        self._cells[_CELLS[name]] += number

    def set(self, name: str, number: int) -> None:
        """Replace a figure."""
        self._cells[_CELLS[name]] = number

    def get(self, name: str) -> int:
        """Return a figure."""
        return self._cells[_CELLS[name]]


def read(path: Path) -> Told:
    """Return what a process has told so far."""
    return Told._make(_FORM.unpack(path.read_bytes()))
