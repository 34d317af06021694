"""Slow backend.

The backend takes half a second for each answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

PROMISES = (
    promises.one_poller(),
    promises.follows(more_seconds=0.5),
    promises.none_lost(),
    promises.none_twice(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Let the backend be slow all the time."""
    with workers(stage):
        stage.backend.behave("slow")
        stage.part(1.0)
        stage.backend.behave("healthy")
