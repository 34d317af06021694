"""A Celery application whose task looks; the client is made at import."""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.signals import worker_process_shutdown
from looker import Looker
from settings import told

LOOKS = 10

settings = told()
looker = Looker(settings)
app = Celery("stress_tasks", broker=os.environ["BROKER"])


@app.task(ignore_result=True)
def look() -> None:
    """Look a few times."""
    for _ in range(LOOKS):
        looker.look()
        time.sleep(settings.pause_seconds)


@worker_process_shutdown.connect
def end(**_: object) -> None:
    """Do for the published package what this one does by itself."""
    if settings.package == "published":
        looker.subject.shutdown()
