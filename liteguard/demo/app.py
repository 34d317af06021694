"""The demo's application: it starts the client at import and does nothing at a fork.

gunicorn imports this once, in its master, because of ``--preload``.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from liteguard import LiteguardClient
from liteguard.demo.settings import GUARD, WORK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

client = LiteguardClient()  # configured by environment variables
client.start()


class Application:
    """Answers ``/check`` with a guard check, and ``/status`` without one.

    Gunicorn's sync workers serve one request at a time, so the count needs no lock.
    """

    def __init__(self) -> None:
        self._checks = 0

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request."""
        path = environ["PATH_INFO"]
        if path not in {"/check", "/status"}:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/check or /status\n"]
        answer = self._check() if path == "/check" else None
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"answer": answer, **self._status()}).encode() + b"\n"]

    def _check(self) -> bool:
        self._checks += 1
        is_open = client.is_open(GUARD)
        time.sleep(WORK_SECONDS)
        return is_open

    def _status(self) -> dict[str, object]:
        status = client.status()
        return {
            "pid": status.pid,
            "checks": self._checks,
            "role": status.role,
            "generation": status.generation,
            "bundleAgeSeconds": status.bundle_age_seconds,
        }


application = Application()
