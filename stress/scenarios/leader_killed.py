"""Leader killed every second.

The process that leads is killed by SIGKILL, and the master forks another worker.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

SECONDS = 60.0
PROMISES = promises.USUAL


def play(stage: Stage) -> None:
    """Kill whoever leads, once a second."""
    stage.more["killed"] = 0
    with workers(stage) as host:
        for _ in stage.ticks():
            host.send(signal.SIGKILL, host.leader())
            stage.more["killed"] += 1
