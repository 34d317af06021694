"""A client that speaks the protocol by hand, for tests of the local backend."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:
    import requests

    from backends import Backend
    from devserver import DevServer

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("guards", {}),
    ("signals", {"signals": []}),
    ("unadopted-guards", {"observations": []}),
]
"""Path and smallest content of each call."""


def signal(signal_id: str, guard_name: str = "a.guard", **more: Any) -> dict[str, Any]:
    """Return a signal with every required field; *more* replaces or adds fields."""
    return {
        "guardName": guard_name,
        "result": True,
        "properties": {},
        "timestampMs": 1_700_000_000_000,
        "signalId": signal_id,
        "executionId": "execution",
        "sequenceNumber": 1,
        "callsiteId": "app.py:1",
        "kind": "guard_check",
        "droppedSignalsSinceLast": 0,
        **more,
    }


def observation(guard_name: str, **more: Any) -> dict[str, Any]:
    """Return an observation with every field; *more* replaces or adds fields.

    It was made just now: the backend deletes old ones each minute.
    """
    now_ms = time.time_ns() // 1_000_000
    return {
        "guardName": guard_name,
        "firstSeenMs": now_ms - 1000,
        "lastSeenMs": now_ms,
        "checkCount": 1,
        "estimatedChecksPerMinute": 60.0,
        **more,
    }


class WireClient:
    """Sends the three calls of the protocol, well formed unless told otherwise.

    Args:
        backend: Where to, and for which environment.
        token: What header and body say; by default the backend's own.
    """

    def __init__(
        self, backend: Union[Backend, DevServer], token: Optional[str] = None
    ) -> None:
        self._backend = backend
        self.environment = backend.environment
        self.token = backend.token if token is None else token

    def fetch(self, **headers: str) -> requests.Response:
        """Ask for the bundle; write dashes of header names as underscores."""
        return self.call("guards", {}, **headers)

    def send(self, *signals: dict[str, Any], **headers: str) -> requests.Response:
        """Send one batch of signals."""
        return self.call("signals", {"signals": list(signals)}, **headers)

    def observe(self, *observations: dict[str, Any]) -> requests.Response:
        """Send one batch of observations."""
        return self.call("unadopted-guards", {"observations": list(observations)})

    def call(
        self, path: str, content: dict[str, Any], **headers: str
    ) -> requests.Response:
        """Make a call with the usual headers; *headers* replace them."""
        return self.post(path, json.dumps(self.body(content)).encode(), **headers)

    def call_gzipped(self, path: str, content: dict[str, Any]) -> requests.Response:
        """Make a call with a compressed body."""
        body = gzip.compress(json.dumps(self.body(content)).encode())
        return self.post(path, body, Content_Encoding="gzip")

    def body(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return the whole document that a call sends; *content* wins."""
        credentials = {
            "projectClientToken": self.token,
            "environment": self.environment,
        }
        return {**credentials, **content}

    def post(self, path: str, body: bytes, **headers: str) -> requests.Response:
        """Send bytes with the usual headers; an empty one is left out."""
        usual = {
            "Authorization": f"Bearer {self.token}",
            "Content_Type": "application/json",
            "X_Liteguard_Environment": self.environment,
        }
        sent = {
            name.replace("_", "-"): value
            for name, value in {**usual, **headers}.items()
            if value
        }
        return self._backend.request("POST", f"/api/v1/{path}", data=body, headers=sent)
