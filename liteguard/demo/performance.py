"""One performance of the demo: display, stage, story, and the exit status."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from liteguard.demo.display import Display, PlainDisplay
from liteguard.demo.keeping import keep_running
from liteguard.demo.patience import DemoError, Interrupted, Patience
from liteguard.demo.roster import Roster
from liteguard.demo.stage import set_stage
from liteguard.demo.story import Story

if TYPE_CHECKING:
    from liteguard.demo.promises import Promise

FAREWELL = "every process has ended and every file is removed"
KEPT, BROKEN, ENDED_BY_SIGNAL = 0, 1, 128


class Performance:
    """The demo, to be run once.

    Args:
        workers: How many workers gunicorn gets.
        watch_seconds: How long nothing happens before the first change.
        keep: Leave everything running afterwards, until a signal comes.
        live: Draw a table on the terminal.
    """

    def __init__(
        self, *, workers: int, watch_seconds: float, keep: bool, live: bool
    ) -> None:
        self._workers = workers
        self._watch_seconds = watch_seconds
        self._keep = keep
        self._roster = Roster()
        self._patience = Patience()
        self._display = _display(self._roster, live=live)

    def run(self) -> int:
        """Run the demo and return the exit status. Blocks until it is over."""
        try:
            with self._patience.heeding_signals(), self._display:
                promises = self._play()
        except Interrupted as interruption:
            return ENDED_BY_SIGNAL + interruption.number
        except DemoError as error:
            sys.stderr.write(f"liteguard demo: {error}\n")
            return BROKEN
        return KEPT if all(promise.is_kept for promise in promises) else BROKEN

    def _play(self) -> list[Promise]:
        try:
            promises = self._play_on_stage()
        except Interrupted:
            self._display.tell(FAREWELL)
            raise
        self._display.tell(FAREWELL)
        return promises

    def _play_on_stage(self) -> list[Promise]:
        with set_stage(self._workers, self._display, self._patience) as stage:
            story = Story(
                stage,
                workers=self._workers,
                watch_seconds=self._watch_seconds,
                display=self._display,
                roster=self._roster,
                patience=self._patience,
            )
            promises = story.tell()
            self._display.show_promises(promises)
            if self._keep:
                keep_running(
                    stage,
                    workers=self._workers,
                    display=self._display,
                    roster=self._roster,
                    patience=self._patience,
                )
        return promises


def _display(roster: Roster, *, live: bool) -> Display:
    if not live:
        return PlainDisplay(roster)
    from liteguard.demo.live import LiveDisplay  # noqa: PLC0415 - brings all of rich

    return LiveDisplay(roster)
