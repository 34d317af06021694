"""A backend on loopback that behaves as badly as it is told to."""

from __future__ import annotations

import contextlib
import gzip
import json
import ssl
import subprocess
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Received(NamedTuple):
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    port: int

    @property
    def content(self) -> Any:
        """The body, decompressed and decoded."""
        packed = self.headers.get("Content-Encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if packed else self.body)


class Handler(BaseHTTPRequestHandler):
    """Notes a request and does what the server says."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Answer a POST."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        received = Received(
            self.path, dict(self.headers.items()), body, self.client_address[1]
        )
        self.server.received.append(received)
        answers = self.server.answers
        answer = answers.popleft() if answers else ok()
        try:
            answer(self)
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        """Note that the connection has ended."""
        super().finish()
        self.server.ended += 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name
        """Log nothing."""


Answer = Callable[[Handler], object]


class Server(ThreadingHTTPServer):
    """A backend on loopback that behaves as badly as it is told to."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[Received] = []
        self.answers: deque[Answer] = deque()
        self.ended = 0
        self.is_closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that the client closed."""


def ok(
    body: bytes = b'{"guards":[]}', status: int = 200, **headers: str
) -> Callable[[Handler], None]:
    """Return a well-behaved answer."""

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if status != 304:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(b"" if status == 304 else body)

    return answer


def raw(data: bytes) -> Answer:
    """Return an answer that is exactly *data*, after which the connection closes."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


def trickle(head: bytes, piece: bytes) -> Answer:
    """Return an answer that begins with *head* and goes on for ever, bit by bit."""

    def answer(handler: Handler) -> None:
        server = handler.server
        handler.wfile.write(head)
        while not server.is_closing.wait(0.02):
            handler.wfile.write(piece)

    return answer


def hang(handler: Handler) -> None:
    """Answer nothing until the server closes."""
    handler.server.is_closing.wait(30.0)


class TLSServer(Server):
    """A backend that speaks TLS.

    Args:
        certificate: File with its key and certificate.
    """

    def __init__(self, certificate: Path) -> None:
        super().__init__()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = self.url.replace("http://", "https://")


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Let *server* serve while the block runs."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.is_closing.set()
            server.shutdown()
            thread.join()


def make_certificate(folder: Path) -> Path:
    """Return a file with a key and a certificate for loopback, signed by itself."""
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", *key, "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    both.write_text(
        (folder / "key.pem").read_text() + (folder / "cert.pem").read_text()
    )
    return both


HEAD = b"HTTP/1.1 200 OK\r\n"
SLOW: dict[str, Answer] = {
    "nothing": hang,
    "half a status line": trickle(b"HTTP/1.1 20", b""),
    "headers": trickle(HEAD + b"X: ", b"y"),
    "many headers": trickle(HEAD, b"X: y\r\n"),
    "a body": trickle(HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
    "a body that stalls": trickle(HEAD + b"Content-Length: 9\r\n\r\nx", b""),
    "a body without end": trickle(HEAD + b"\r\n", b"x"),
    "chunks": trickle(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a chunk": trickle(HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n", b"x"),
    "informational answers": trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "an error": trickle(b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n", b"x"),
}


BROKEN: dict[str, Answer] = {
    "no http": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "half a status line": raw(b"HTTP/1.1 2"),
    "a status that is no number": raw(b"HTTP/1.1 abc OK\r\n\r\n"),
    "a body cut off": raw(HEAD + b"Content-Length: 100\r\n\r\nx"),
    "a chunk cut off": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nx"),
    "a chunk of no size": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n"),
    "bad gzip": ok(b"no gzip", Content_Encoding="gzip"),
    "a header too long": raw(HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n"),
    "too many headers": raw(HEAD + b"X: y\r\n" * 200 + b"\r\n"),
    "null bytes": raw(b"\0" * 100),
    "two lengths": raw(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
}


def endless(handler: Handler) -> None:
    """Send as much as anybody takes, quickly."""
    handler.wfile.write(HEAD + b"\r\n")
    while not handler.server.is_closing.is_set():
        handler.wfile.write(b"x" * 1_000_000)
