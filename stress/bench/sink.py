"""A backend for every SDK: serves flags to those that fetch, and takes telemetry.

Environment ``big`` has the big bundle, and ``changing`` another one at each request.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any

from big_bundle import big_bundle
from flags import liteguard_bundle, statsig_specs

if TYPE_CHECKING:
    from collections.abc import Iterator


CHANGES = count()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        is_statsig = "download_config_specs" in self.path
        self._answer(200, statsig_specs() if is_statsig else {})

    def do_POST(self) -> None:
        received = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/api/v1/guards"):
            self._send(200, _bundle(json.loads(received)["environment"]))
        else:
            is_unleash = self.path.startswith("/client/metrics")
            self._answer(202 if is_unleash else 200, {"status": 1})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _bundle(environment: str) -> bytes:
    if environment == "changing":
        return big_bundle(next(CHANGES) % 2)
    if environment == "big":
        return big_bundle(0)
    return json.dumps(liteguard_bundle()).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that have ended."""


@contextmanager
def sink() -> Iterator[str]:
    """Serve on loopback, in a thread, and give the address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
