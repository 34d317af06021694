"""gunicorn reloaded under load.

SIGHUP every two seconds: gunicorn, which has imported the application before its forks,
replaces all workers while four clients make requests.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.servers import gunicorn

if TYPE_CHECKING:
    from stress.suite.stage import Stage

EVERY_SECONDS = 2.0
PROMISES = promises.USUAL


def play(stage: Stage) -> None:
    """Reload again and again."""
    with gunicorn(stage) as host:
        for _ in stage.ticks(every=EVERY_SECONDS):
            host.send(signal.SIGHUP)
