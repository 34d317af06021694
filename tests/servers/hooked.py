"""The tests' application, with a function of the user's for uWSGI to call at forks."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

HOOK, MOMENT = os.environ["HOOK"].split(", ")
NOTES = Path(os.environ["NOTES"])

uwsgi: Any = importlib.import_module("uwsgi")  # there inside uWSGI only


def note() -> None:
    """Note that this process was forked."""
    told = {"pid": os.getpid(), "decorators": "uwsgidecorators" in sys.modules}
    with NOTES.open("a") as notes:
        notes.write(json.dumps(told) + "\n")


def set_hook() -> None:
    """Let uWSGI call `note`, in one of the two ways that its documentation knows."""
    if HOOK == "decorators":
        importlib.import_module("uwsgidecorators").postfork(note)
    else:
        uwsgi.post_fork_hook = note


if MOMENT == "before":
    set_hook()
app = importlib.import_module("application").app
if MOMENT == "after":
    set_hook()
