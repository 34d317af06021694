"""The matrix of servers and modes in the documentation: one row for each, measured."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parent.parent.parent / "docs" / "forking-matrix.md"
HEADER = (
    "Server",
    "Mode",
    "Options it needs",
    "Polls per interval",
    "Change in all workers",
    "After TERM",
)


class Row(NamedTuple):
    """What one server did in one mode.

    Args:
        server: The server, and what kind of workers it has.
        mode: With which options it ran.
        needs: Which options it needs so that the client works.
        polls: Polls of the host in one refresh interval.
        seconds: From a change at the backend until every worker answered by it.
        ending: What became of checks that were not yet sent when it was told to end.
    """

    server: str
    mode: str
    needs: str
    polls: float
    seconds: float
    ending: str

    def cells(self) -> tuple[str, ...]:
        """Return what the table shows."""
        polls, seconds = f"{self.polls:.1f}", f"{self.seconds:.1f} s"
        return self.server, self.mode, self.needs, polls, seconds, self.ending


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    rule = ("---",) * len(HEADER)
    lines = [" | ".join(cells) for cells in (HEADER, rule, *(r.cells() for r in rows))]
    return "".join(f"| {line} |\n" for line in lines)


def claims_of_the_page() -> list[tuple[str, ...]]:
    """Return the claims of each row that the documentation shows."""
    lines = PAGE.read_text().splitlines()[len(("header", "rule")) :]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(cells[0], cells[1], cells[2], cells[5]) for cells in shown]
