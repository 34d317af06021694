"""uWSGI reloaded under load.

SIGHUP every four seconds: uWSGI, whose forks run no hook of Python, begins anew and
replaces all workers while four clients make requests.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.servers import uwsgi

if TYPE_CHECKING:
    from stress.suite.stage import Stage

EVERY_SECONDS = 4.0
PROMISES = promises.USUAL


def play(stage: Stage) -> None:
    """Reload again and again."""
    with uwsgi(stage) as host:
        for _ in stage.ticks(every=EVERY_SECONDS):
            host.send(signal.SIGHUP)
