"""What the user sees on a terminal: lines above a table that is always up to date."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from liteguard.demo.display import HEADINGS, Stopwatch, cells, verdict
from liteguard.demo.promises import Promise, conclusion
from liteguard.demo.roster import GONE, KILLED

if TYPE_CHECKING:
    from liteguard.demo.roster import Roster, Row

_PER_SECOND = 8
_STYLES = {"leader": "bold cyan", KILLED: "red", GONE: "red"}


class LiveDisplay:
    """A table below the lines, drawn anew several times a second by a thread.

    Args:
        roster: The workers.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._watch = Stopwatch()
        self._console = Console()
        self._live = Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=_PER_SECOND,
        )

    def __enter__(self) -> LiveDisplay:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last table, and give the cursor back."""
        self._live.stop()

    def tell(self, text: str) -> None:
        """Tell what happens, with the seconds since the start."""
        self.write(self._watch.stamp(text))

    def show_workers(self) -> None:
        """Do nothing: the table is always there."""

    def show_promises(self, promises: list[Promise]) -> None:
        """Show each promise with a mark, and the conclusion."""
        for promise in promises:
            line = verdict(promise, self._console.encoding)
            style = "green" if promise.is_kept else "bold red"
            self._console.print(Text(line, style=style))
        self.write(conclusion(promises))

    def write(self, text: str) -> None:
        """Write a line above the table."""
        self._console.print(Text(text))

    def _table(self) -> RenderableType:
        rows = self._roster.rows(time.monotonic())
        table = Table(*HEADINGS)
        for row in rows:
            table.add_row(*cells(row), style=_style(row))
        return table if rows else Text()


def _style(row: Row) -> str:
    return _STYLES.get(row.role, "green" if row.is_open else "")
