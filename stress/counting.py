"""A backend that counts the signals it is sent, as a process of its own.

``python stress/counting.py`` prints its address. GET ``/account`` tells what has come,
and PUT ``/healthy``, ``/slow`` or ``/down`` how it is to behave from now on.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = "payments.checkout"
SLOW_SECONDS = 0.5
_RULE = {"propertyName": "plan", "operator": "EQUALS", "values": ["pro"]}
_BUNDLE = {
    "guards": [
        {"name": GUARD, "adopted": True, "rules": [{**_RULE, "result": True}]},
    ],
    "etag": "1",
    "refreshRateSeconds": 60,
}


class _Account:
    """What has come. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: Counter[str] = Counter()
        self._dropped = 0
        self.mode = "healthy"

    def add(self, signals: list[dict[str, Any]]) -> None:
        """Take a batch."""
        with self._lock:
            for signal in signals:
                # One that comes again reports again what it reported before.
                if not self._ids[signal["signalId"]]:
                    self._dropped += signal["droppedSignalsSinceLast"]
                self._ids[signal["signalId"]] += 1

    def told(self) -> dict[str, int]:
        """Return the figures."""
        with self._lock:
            again = sum(self._ids.values()) - len(self._ids)
            distinct = len(self._ids)
        return {"delivered": distinct, "dropped": self._dropped, "again": again}


ACCOUNT = _Account()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/v1/guards":
            self._answer(_BUNDLE)
            return
        if ACCOUNT.mode == "down":
            self.close_connection = True
            return
        if ACCOUNT.mode == "slow":
            time.sleep(SLOW_SECONDS)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        ACCOUNT.add(json.loads(body).get("signals", []))
        self._answer({"accepted": True})

    def do_GET(self) -> None:
        self._answer(ACCOUNT.told())

    def do_PUT(self) -> None:
        ACCOUNT.mode = self.path.strip("/")
        self._answer({})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that have ended."""


class Counting:
    """The backend, seen from another process.

    Args:
        address: Where it serves.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def account(self) -> dict[str, int]:
        """Return how many signals were delivered, reported dropped, and came again."""
        with urllib.request.urlopen(f"{self.address}/account") as answer:  # noqa: S310  loopback
            told: dict[str, int] = json.load(answer)
        return told

    def behave(self, mode: str) -> None:
        """Let it be "healthy", "slow" or "down" from now on."""
        request = urllib.request.Request(f"{self.address}/{mode}", method="PUT")  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310  loopback


@contextmanager
def counting() -> Iterator[Counting]:
    """Run the backend while the block runs."""
    command = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(  # noqa: S603  this very program
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as process:
        address = cast("IO[str]", process.stdout).readline().strip()
        try:
            yield Counting(address)
        finally:
            process.kill()


def main() -> None:
    """Serve until the input ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
