"""The tests' application with work behind the scenes: a spooler and a mule.

Imported as the application, and as the script of a mule: `run_mule` is for that.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from application import GUARD, app, client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

uwsgi: Any = importlib.import_module("uwsgi")  # there inside uWSGI only
REPORTS = Path(os.environ["REPORTS"])
PAUSE_SECONDS = 0.02


def check_and_report(name: str) -> bool:
    """Make one check, and append what came of it to a report."""
    is_open = client.is_open(GUARD)
    status = client.status()
    told = {"pid": os.getpid(), "open": is_open, "role": status.role}
    with (REPORTS / name).open("a") as report:
        report.write(json.dumps(told) + "\n")
    return is_open


def run_task(_: dict[bytes, bytes]) -> int:
    """Make one check in the spooler."""
    check_and_report("spooler")
    return int(uwsgi.SPOOL_OK)


uwsgi.spooler = run_task


def serve(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[bytes]:
    """Answer as the application does; ``/spool`` also leaves the spooler a task."""
    if environ["PATH_INFO"] == "/spool":
        uwsgi.spool({b"task": b"check"})
    return app(environ, start_response)


def run_mule() -> None:
    """Make checks until the guard is open, and then rest."""
    while not check_and_report("mule"):
        time.sleep(PAUSE_SECONDS)
    while True:
        uwsgi.mule_get_msg()
