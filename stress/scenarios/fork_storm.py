"""Fork storm.

A master whose thread checks all the while forks children that live for a tenth of a
second, and end in turn by exit, by ``os._exit`` and by SIGKILL. Each is replaced at
once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

LIFETIME_SECONDS = 0.1
PROMISES = (
    # A leader that ends in the middle of a request leaves it to the next one.
    promises.one_poller(times=2.0),
    promises.follows(),
    promises.none_lost(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Wait."""
    with workers(stage, lifetime_seconds=LIFETIME_SECONDS, checks_in_master=True):
        stage.part(1.0)
    stage.more["processes started"] = len(list(stage.tallies.iterdir()))
