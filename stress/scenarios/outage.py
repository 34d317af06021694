"""Backend outage and return.

The backend closes each connection without an answer for half of the time. The pauses
between two tries begin with up to two seconds, which are two intervals here, and a
request on a connection that was closed is tried twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

PROMISES = (
    promises.one_poller(times=4.0),
    promises.recovers(within_seconds=2.25),
    promises.none_lost(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Let the backend be down, and come back."""
    with workers(stage):
        stage.part(0.1)
        with stage.trouble():
            stage.backend.behave("down")
            stage.part(0.5)
            stage.backend.behave("healthy")
        stage.part(0.4)
