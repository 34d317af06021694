"""A backend on loopback that keeps what it was sent, and obeys the test."""

from __future__ import annotations

import gzip
import http.server
import json
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

HELD_SECONDS = 30.0


class Request(NamedTuple):
    """One request as it arrived.

    Args:
        path: The path.
        headers: The headers; names in lower case.
        document: The decoded body.
        status: What it was answered with.
    """

    path: str
    headers: dict[str, str]
    document: dict[str, Any]
    status: int


class Answer(NamedTuple):
    """What a request is answered with."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


class RecordingServer:
    """Answers every call of the protocol while the ``with`` block runs.

    Args:
        guards: The guards of the bundle.
    """

    def __init__(self, *guards: dict[str, Any]) -> None:
        self.guards = list(guards)
        self.requests: list[Request] = []
        self.poisonous: set[str] = set()
        """Ids of signals, and names of unadopted guards, that are answered with 400."""
        self.largest = 10**9
        """Most signals in a body that is not answered with 413."""
        self.asked = threading.Event()
        """Set when a request has arrived, before it is answered."""
        self.may_answer = threading.Event()
        """Cleared by a test that wants to hold answers back."""
        self.may_answer.set()
        self._answers: deque[Answer] = deque()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.recording = self
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> RecordingServer:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of what is held back, and end."""
        self.close()

    def close(self) -> None:
        """End early, so that connections are refused."""
        if self._is_closed:
            return
        self.may_answer.set()
        self._is_closed = True
        socket.create_connection(("127.0.0.1", self._server.server_port)).close()
        self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        # Without a look at the time: a test that forks waits until all threads sleep.
        while not self._is_closed:
            self._server.handle_request()

    def answer(self, *statuses: int, **headers: str) -> None:
        """Answer the next signals and observations so; later ones are accepted."""
        named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
        self._answers.extend(Answer(status, named) for status in statuses)

    def accept_again(self) -> None:
        """Accept the next signals and observations, whatever was asked for before."""
        self._answers.clear()

    @property
    def is_obeyed(self) -> bool:
        """Whether all answers that the test asked for were given."""
        return not self._answers

    def to(self, path: str) -> list[Request]:
        """Return the requests to one call of the protocol."""
        return [found for found in self.requests if found.path == f"/api/v1/{path}"]

    def batches(self, *, accepted: bool = True) -> list[list[dict[str, Any]]]:
        """Return the batches of signals that were accepted, or that were not."""
        return [
            found.document["signals"]
            for found in self.to("signals")
            if (found.status == http.HTTPStatus.OK) is accepted
        ]

    def signals(self) -> list[dict[str, Any]]:
        """Return the signals that were accepted, in the order of arrival."""
        return [signal for batch in self.batches() for signal in batch]

    def ids(self) -> list[str]:
        """Return the ids of the signals that were accepted."""
        return [signal["signalId"] for signal in self.signals()]

    def dropped(self) -> int:
        """Return how many signals were reported as dropped."""
        return sum(signal["droppedSignalsSinceLast"] for signal in self.signals())

    def respond(self, path: str, document: dict[str, Any]) -> tuple[Answer, bytes]:
        """Decide what a request is answered with."""
        if path == "/api/v1/guards":
            bundle = {"guards": self.guards, "refreshRateSeconds": 0, "etag": "1"}
            return Answer(200), json.dumps(bundle).encode()
        answer = self._answers.popleft() if self._answers else self._judge(document)
        return answer, b'{"accepted": true}'

    def _judge(self, document: dict[str, Any]) -> Answer:
        signals = document.get("signals", ())
        if len(signals) > self.largest:
            return Answer(413)
        if self.poisonous & set(_names(signals, "signalId")):
            return Answer(400)
        if self.poisonous & set(_names(document.get("observations", ()), "guardName")):
            return Answer(400)
        return Answer(200)


def _names(entries: Iterable[dict[str, Any]], field: str) -> Iterable[str]:
    return (entry[field] for entry in entries)


class _Server(http.server.ThreadingHTTPServer):
    recording: RecordingServer

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that did not wait for their answer."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Keep the request and answer it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        document = json.loads(body)
        recording = self.server.recording
        recording.asked.set()
        recording.may_answer.wait(HELD_SECONDS)
        answer, content = recording.respond(self.path, document)
        headers = {name.lower(): text for name, text in self.headers.items()}
        recording.requests.append(Request(self.path, headers, document, answer.status))
        self._send(answer, content)

    def _send(self, answer: Answer, content: bytes) -> None:
        self.send_response(answer.status)
        for name, text in answer.headers:
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
        """Say nothing."""
