"""What any check with telemetry must do, and nothing else."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextvars import ContextVar
from typing import Any

from flags import SUBJECT
from measuring import serve

SCOPE: ContextVar[dict[str, Any]] = ContextVar("scope")


class Floor:
    """Looks up, reads the scope, knows the caller, time and process, and records."""

    def __init__(self) -> None:
        self.guards = {"one": True}
        self.records: deque[Any] = deque(maxlen=2_000)
        self.pid = os.getpid()

    def is_open(self, name: str) -> bool:
        """Return what is there."""
        is_open = self.guards.get(name, False)
        scope = SCOPE.get()
        frame = sys._getframe(1)
        if os.getpid() != self.pid:
            raise RuntimeError("forked")
        place = frame.f_code, frame.f_lasti
        self.records.append((name, is_open, scope, place, time.time()))
        return is_open


SCOPE.set(SUBJECT)
floor = Floor()
serve({"one rule": (lambda: floor.is_open("one"), True)})
