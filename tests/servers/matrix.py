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


def write(rows: list[Row], order: list[tuple[str, str]]) -> None:
    """Write what was measured into the documentation, and keep the other rows there.

    Args:
        rows: What was measured.
        order: Server and mode of each row that there should be.
    """
    shown = {cells[:2]: cells for cells in _shown()}
    shown.update({row.cells()[:2]: row.cells() for row in rows})
    table = [HEADER, ("---",) * len(HEADER), *(shown[k] for k in order if k in shown)]
    PAGE.write_text("".join(f"| {' | '.join(cells)} |\n" for cells in table))


def claims_of_the_page() -> list[tuple[str, ...]]:
    """Return the claims of each row that the documentation shows."""
    return [(cells[0], cells[1], cells[2], cells[5]) for cells in _shown()]


def _shown() -> list[tuple[str, ...]]:
    lines = PAGE.read_text().splitlines()[len(("header", "rule")) :]
    return [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines]
