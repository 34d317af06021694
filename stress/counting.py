"""A backend that counts what it is asked and sent, as a process of its own.

GET ``/account`` tells what has come, and PUT ``/healthy``, ``/slow`` or ``/down`` how
it is to behave from now on. Its bundle may change: then one guard tells of which
generation it is, since `Counting.begun_at` and by the machine's monotonic clock.
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
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
GUARD = "payments.checkout"
"""Open for the plan "pro"."""
CLOSED = "payments.refund"
"""Always closed."""
GENERATION = "payments.generation"
"""Open for each ``asked`` that is no larger than the generation of the bundle."""
SLOW_SECONDS = 0.5
USUAL_REFRESH_SECONDS = 60.0


class _Bundles:
    """The bundle of each moment.

    Args:
        change_seconds: How often it changes; 0 if never.
        refresh_seconds: How often it asks clients to look.
        guards: How many guards it has beside those that are named here; all of them
            change each time.
    """

    def __init__(
        self, change_seconds: float, refresh_seconds: float, guards: int
    ) -> None:
        self._change_seconds = change_seconds
        self._refresh_seconds = refresh_seconds
        self._guards = guards
        self.begun_at = time.monotonic()

    def generation(self) -> int:
        """Return of which generation the bundle is by now."""
        if not self._change_seconds:
            return 0
        return int((time.monotonic() - self.begun_at) / self._change_seconds)

    @lru_cache(maxsize=4)  # noqa: B019  there is one, for as long as the process runs
    def of(self, generation: int) -> bytes:
        """Return the bundle of a generation."""
        guards = [
            _guard(GUARD, "plan", "EQUALS", "pro"),
            _guard(CLOSED, "plan", "EQUALS", "none"),
            _guard(GENERATION, "asked", "LTE", generation),
        ]
        head = b'{"guards": ' + json.dumps(guards).encode()[:-1]
        rate = {"refreshRateSeconds": self._refresh_seconds}
        more = {"etag": etag(generation), **rate}
        return head + self._others(generation % 2) + b"], " + _members(more) + b"}"

    @lru_cache(maxsize=2)  # noqa: B019  as above
    def _others(self, revision: int) -> bytes:
        if not self._guards:
            return b""
        from stress.backends import bundle  # noqa: PLC0415  flood.py has no such path

        text = bundle(self._guards, revision)
        return b", " + text[text.index(b"[") + 1 : text.rindex(b'], "etag"')]


def _guard(name: str, subject: str, operator: str, value: Any) -> dict[str, Any]:
    compared = {"propertyName": subject, "operator": operator, "values": [value]}
    return {"name": name, "adopted": True, "rules": [{**compared, "result": True}]}


def _members(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()[1:-1]


def etag(generation: int) -> str:
    """Return the tag of the bundle of a generation."""
    return f'"{generation}"'


class _Account:
    """What has come. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: Counter[str] = Counter()
        self._dropped = 0
        self._polls = 0
        self.mode = "healthy"

    def add_poll(self) -> None:
        """Take a request for guards, however it is answered."""
        with self._lock:
            self._polls += 1

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
            figures = {"delivered": len(self._ids), "dropped": self._dropped}
            return {**figures, "again": again, "polls": self._polls}


ACCOUNT = _Account()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    bundles: _Bundles

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/v1/guards":
            ACCOUNT.add_poll()
        if ACCOUNT.mode == "down":
            self.close_connection = True
            return
        if ACCOUNT.mode == "slow":
            time.sleep(SLOW_SECONDS)
        if self.path == "/api/v1/guards":
            self._answer_poll()
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        ACCOUNT.add(json.loads(body).get("signals", []))
        self._answer({"accepted": True})

    def do_GET(self) -> None:
        self._answer(ACCOUNT.told())

    def do_PUT(self) -> None:
        ACCOUNT.mode = self.path.strip("/")
        self._answer({})

    def _answer_poll(self) -> None:
        generation = self.bundles.generation()
        if self.headers.get("If-None-Match") == etag(generation):
            self._send(304, b"")
        else:
            self._send(200, self.bundles.of(generation))

    def _answer(self, content: dict[str, Any]) -> None:
        self._send(200, json.dumps(content).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
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
        begun_at: When its bundle was of generation 0 first, in monotonic seconds.
        change_seconds: How often its bundle changes; 0 if never.
        refresh_seconds: How often it asks clients to look.
    """

    def __init__(
        self,
        address: str,
        begun_at: float,
        change_seconds: float,
        refresh_seconds: float,
    ) -> None:
        self.address = address
        self.begun_at = begun_at
        self.change_seconds = change_seconds
        self.refresh_seconds = refresh_seconds

    def account(self) -> dict[str, int]:
        """Return how many signals were delivered, dropped and came again, and polls."""
        with urllib.request.urlopen(f"{self.address}/account") as answer:  # noqa: S310  loopback
            told: dict[str, int] = json.load(answer)
        return told

    def behave(self, mode: str) -> None:
        """Let it be "healthy", "slow" or "down" from now on."""
        request = urllib.request.Request(f"{self.address}/{mode}", method="PUT")  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310  loopback


@contextmanager
def counting(
    change_seconds: float = 0.0,
    refresh_seconds: float = USUAL_REFRESH_SECONDS,
    guards: int = 0,
) -> Iterator[Counting]:
    """Run the backend while the block runs.

    Args:
        change_seconds: How often its bundle changes; 0 leaves it as it is.
        refresh_seconds: How often it asks clients to look.
        guards: How many guards its bundle has beside the few that are asked for.
    """
    told = [str(change_seconds), str(refresh_seconds), str(guards)]
    command = [sys.executable, "-m", "stress.counting", *told]
    with subprocess.Popen(  # noqa: S603  this very program
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        line = cast("IO[str]", process.stdout).readline()
        try:
            address, begun_at = line.split()
            moments = float(begun_at), change_seconds, refresh_seconds
            yield Counting(address, *moments)
        finally:
            process.kill()


def main(change_seconds: float, refresh_seconds: float, guards: int) -> None:
    """Serve until the input ends."""
    bundles = _Bundles(change_seconds, refresh_seconds, guards)
    _Handler.bundles = bundles
    for generation in range(2):
        bundles.of(generation)
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    print(address, bundles.begun_at, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    change, refresh, number = sys.argv[1:]
    main(float(change), float(refresh), int(number))
