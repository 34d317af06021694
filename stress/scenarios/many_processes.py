"""64 processes.

On one host, and all of them check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

PROCESSES = 64
PROMISES = (
    promises.one_poller(),
    promises.follows(),
    promises.none_lost(),
    promises.none_twice(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Wait."""
    with workers(stage, workers=PROCESSES, pause_seconds=0.2):
        stage.part(1.0)
