"""Clock jumps.

The wall clock jumps twice a second, by an hour, a day or ten years, back and forth:
each process is told another time by ``time.time()``. All other clocks are the
machine's, as nobody can set them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

HOUR, DAY, YEARS = 3600.0, 86_400.0, 10 * 365 * 86_400.0
JUMPS = (HOUR, -HOUR, YEARS, 0.0, -YEARS, DAY, -DAY, YEARS, -YEARS)
PROMISES = (
    promises.one_poller(),
    promises.follows(),
    promises.none_lost(),
    promises.none_twice(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Set the clock again and again."""
    path = stage.folder / "clock"
    path.write_text("0")
    with workers(stage, clock_path=str(path)):
        for number in stage.ticks(every=0.5):
            made = path.with_name("clock.new")
            made.write_text(str(JUMPS[number % len(JUMPS)]))
            made.replace(path)
