"""Soak.

Nothing happens but that the bundle changes, for as long as ``--soak`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

SECONDS = 20.0
PROMISES = (
    promises.one_poller(),
    promises.follows(),
    promises.none_lost(),
    promises.none_twice(),
    promises.answers_right(),
    promises.harmless(),
    promises.steady(),
)


def play(stage: Stage) -> None:
    """Wait."""
    with workers(stage):
        stage.part(1.0)
