"""What the user sees without a terminal: plain lines."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from liteguard.demo.promises import Promise, conclusion

if TYPE_CHECKING:
    from liteguard.demo.roster import Roster, Row

HEADINGS = ("pid", "role", "generation", "answer", "checks", "last refresh")


class Display(Protocol):
    """Where the story is told."""

    def __enter__(self) -> Display:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """Show nothing from now on."""

    def tell(self, text: str) -> None:
        """Tell what happens, with the seconds since the start."""

    def show_workers(self) -> None:
        """Show the table of today's workers, unless it is shown all the time."""

    def show_promises(self, promises: list[Promise]) -> None:
        """Show what was promised and whether it was kept."""

    def write(self, text: str) -> None:
        """Show *text* as it is."""


class Stopwatch:
    """The time since it was made."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()

    def stamp(self, text: str) -> str:
        """Return *text* behind the seconds so far."""
        return f"{time.monotonic() - self._started_at:6.1f} s  {text}"


class PlainDisplay:
    """Lines on standard output.

    Args:
        roster: The workers.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._watch = Stopwatch()

    def __enter__(self) -> PlainDisplay:
        """Begin to show."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing needs to be taken away."""

    def tell(self, text: str) -> None:
        """Tell what happens, with the seconds since the start."""
        self.write(self._watch.stamp(text))

    def show_workers(self) -> None:
        """Show one line for each worker."""
        for row in self._roster.rows(time.monotonic()):
            named = zip(HEADINGS, cells(row))
            self.write("          " + "  ".join(f"{n} {cell}" for n, cell in named))

    def show_promises(self, promises: list[Promise]) -> None:
        """Show each promise with a mark, and the conclusion."""
        for promise in promises:
            self.write(verdict(promise, sys.stdout.encoding))
        self.write(conclusion(promises))

    def write(self, text: str) -> None:
        """Write a line, at once."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def cells(row: Row) -> tuple[str, ...]:
    """Return what the table shows for a worker, in the order of `HEADINGS`."""
    age = "-" if row.age_seconds is None else f"{row.age_seconds:.1f} s ago"
    answer = "open" if row.is_open else "closed"
    return (
        str(row.pid),
        row.role,
        str(row.generation),
        answer,
        str(row.checks),
        age,
    )


def verdict(promise: Promise, encoding: str) -> str:
    """Return a promise as lines, the first of which begins with a tick or a cross.

    Args:
        promise: The promise.
        encoding: Of the stream; one that has no such marks gets words.
    """
    marks = ("\N{CHECK MARK}", "\N{BALLOT X}")
    try:
        "".join(marks).encode(encoding)
    except (LookupError, UnicodeEncodeError):
        marks = ("ok", "FAILED")
    mark = marks[not promise.is_kept]
    return f"  {mark} {promise.text}\n    {promise.evidence}"
