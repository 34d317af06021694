"""Bundle of 10,000 guards.

Each of them has ten rules, and all of them change every second: 8 MB of JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

OPTIONS = {"change_seconds": 1.0, "guards": 10_000}
PROMISES = (
    promises.one_poller(),
    promises.follows(more_seconds=1.0),
    promises.none_lost(),
    promises.none_twice(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Wait."""
    with workers(stage):
        stage.part(1.0)
