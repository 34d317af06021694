"""A backend for benchmarks: as many guards as the name of the environment says."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_RULES = 10


@cache
def bundle(number: int, revision: int) -> bytes:
    """Return a bundle of *number* guards with ten rules each, all of them open."""
    rules = [
        {"propertyName": f"p{i}", "operator": "EQUALS", "values": [i, "x" * 20]}
        for i in range(_RULES)
    ]
    rules[-1]["values"] = [revision]
    guards = [
        {"name": f"guard.{i}", "adopted": True, "defaultValue": True, "rules": rules}
        for i in range(number)
    ]
    told = {"guards": guards, "etag": _etag(number, revision)}
    return json.dumps({**told, "refreshRateSeconds": 60}).encode()


def _etag(number: int, revision: int) -> str:
    return f'"{number}-{revision}"'


class _Handler(BaseHTTPRequestHandler):
    """Serves environment ``100``, and ``100-changing`` with another one each time."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    requests = count()

    def do_POST(self) -> None:
        received = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/api/v1/guards":
            self._answer(200, b"{}")
            return
        number, _, changes = json.loads(received)["environment"].partition("-")
        revision = next(self.requests) % 2 if changes else 0
        if self.headers.get("If-None-Match") == _etag(int(number), revision):
            self._answer(304, b"")
        else:
            self._answer(200, bundle(int(number), revision))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that have ended."""


@contextmanager
def backend() -> Iterator[str]:
    """Serve on loopback, in a thread, and give the address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
