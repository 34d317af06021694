"""Leader stopped.

The process that leads is stopped by SIGSTOP, as by a debugger or a frozen container,
and goes on later. A leader that gives no sign of life is replaced after 2 seconds here,
to be brief, and after 30 else.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

STALE_SECONDS = 2.0
BESIDE = "no process of it leads, so that one that is stopped matters to itself alone"
PROMISES = (
    promises.one_poller(),
    promises.follows(STALE_SECONDS),
    promises.recovers(within_seconds=1.25),
    promises.none_lost(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Stop whoever leads for half of the time."""
    with workers(stage, stale_seconds=STALE_SECONDS) as host:
        stage.part(0.1)
        leader = host.leader()
        with stage.trouble():
            host.send(signal.SIGSTOP, leader)
            stage.part(0.5)
            host.send(signal.SIGCONT, leader)
        stage.part(0.4)
