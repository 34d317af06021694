"""Signal flood.

Every process checks as fast as it goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

BLOCK = 1000
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
    with workers(stage, block=BLOCK):
        stage.part(1.0)
