"""The Celery application that the tests run, as its user would write it.

No code for forks: the client is started at import, and that is all.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from liteguard import LiteguardClient
from liteguard.integrations.celery import carry_scopes

GUARD = os.environ["GUARD"]

client = LiteguardClient()
client.start()
carry_scopes(client)
app = Celery("tasks", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.worker_soft_shutdown_timeout = float(os.environ.get("SOFT_SHUTDOWN", "0"))


@app.task
def check() -> dict[str, Any]:
    """Make one check."""
    is_open = client.is_open(GUARD)
    status = client.status()
    return {
        "pid": os.getpid(),
        "open": is_open,
        "role": status.role,
        "generation": status.generation,
        "properties": client.get_active_scope().get_properties(),
    }


@app.task(bind=True)
def check_and_wait(task: Any, number: int) -> None:
    """Make checks, tell of it, and wait to be ended."""
    for _ in range(number):
        client.is_open(GUARD)
    task.update_state(state="CHECKED", meta={"pid": os.getpid()})
    try:
        signal.pause()
    except SoftTimeLimitExceeded:
        client.is_open(GUARD)
        raise
