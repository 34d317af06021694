"""Celery, one task for each child.

With ``--max-tasks-per-child 1`` on a real Redis: each task is done by a process that is
forked for it, and that ends by ``os._exit``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.servers import celery

if TYPE_CHECKING:
    from stress.suite.stage import Stage

PROMISES = promises.USUAL


def play(stage: Stage) -> None:
    """Keep the queue from being empty."""
    with celery(stage) as host:
        for _ in stage.ticks(every=0.1):
            while host.sent - host.done() < stage.plan.workers:
                host.call()
