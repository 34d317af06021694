"""Soak.

Nothing happens for as long as ``--soak`` says, but that the bundle changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

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
        stage.pause(stage.plan.soak_seconds)
