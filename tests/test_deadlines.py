"""A request is over in time whichever of its steps is slow."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest

from clients import TOKEN
from liteguard.errors import TransportTimeout
from liteguard.transport import Transport
from misbehaving import Server, make_certificate, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHORT = 0.4
LONG = 20.0
LARGE = [{"text": os.urandom(8_000_000).hex()}]


def new_transport(url: str, **more: Any) -> Transport:
    """Return a transport with a short timeout."""
    arguments: dict[str, Any] = {
        "token": TOKEN,
        "environment": "",
        "process_id": "p",
        "pid": 1,
        "timeout_seconds": SHORT,
        "proxies": {},
        **more,
    }
    return Transport(backend_url=url, **arguments)


@contextlib.contextmanager
def peer(serve: Callable[[socket.socket, threading.Event], object]) -> Iterator[int]:
    """Accept connections, serve each with *serve*, and yield the port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    is_closing = threading.Event()
    threads: list[threading.Thread] = []

    def run(connected: socket.socket) -> None:
        with connected, contextlib.suppress(OSError):
            serve(connected, is_closing)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while not is_closing.is_set():
                thread = threading.Thread(target=run, args=listener.accept()[:1])
                threads.append(thread)
                thread.start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        is_closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


def sip(connected: socket.socket, is_closing: threading.Event) -> None:
    """Take a request a little at a time."""
    while not is_closing.wait(0.02) and connected.recv(8192):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for loopback."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def check_gives_up(action: Callable[[], object]) -> None:
    """Check that *action* ends by a timeout, and not when the peer lets it."""
    began = time.monotonic()
    with pytest.raises(TransportTimeout):
        action()
    assert time.monotonic() - began < LONG


def test_request_that_is_taken_slowly_is_given_up() -> None:
    """A backend that reads a little now and then does not keep the thread."""
    with (
        peer(sip) as port,
        contextlib.closing(new_transport(f"http://127.0.0.1:{port}")) as transport,
    ):
        check_gives_up(lambda: transport.send_signals(LARGE))


def test_request_that_is_taken_slowly_over_tls_is_given_up(certificate: Path) -> None:
    """Encryption splits a request into records, and they share the time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connected: socket.socket, is_closing: threading.Event) -> None:
        with context.wrap_socket(connected, server_side=True) as wrapped:
            sip(wrapped, is_closing)

    with (
        peer(serve) as port,
        contextlib.closing(
            new_transport(
                f"https://127.0.0.1:{port}",
                ca_bundle=str(certificate),
                timeout_seconds=1.0,
            )
        ) as transport,
    ):
        check_gives_up(lambda: transport.send_signals(LARGE))


def test_handshake_that_does_not_end_is_given_up(certificate: Path) -> None:
    """A backend that accepts and says nothing is waited for no longer."""
    with (
        peer(lambda _, is_closing: bool(is_closing.wait())) as port,
        (
            contextlib.closing(
                new_transport(f"https://127.0.0.1:{port}", ca_bundle=str(certificate))
            )
        ) as transport,
    ):
        check_gives_up(lambda: transport.fetch_bundle(""))


def test_proxy_that_opens_a_way_slowly_is_given_up() -> None:
    """The headers by which a proxy agrees are part of the answer."""

    def serve(connected: socket.socket, is_closing: threading.Event) -> None:
        connected.recv(65536)
        connected.sendall(b"HTTP/1.1 200 OK\r\n")
        while not is_closing.wait(0.05):
            connected.sendall(b"X: y\r\n" if int(time.time()) % 2 else b"Y: z\r\n")

    with (
        peer(serve) as port,
        contextlib.closing(
            new_transport(
                "https://backend.invalid", proxies={"https": f"http://127.0.0.1:{port}"}
            )
        ) as transport,
    ):
        check_gives_up(lambda: transport.fetch_bundle(""))


@contextlib.contextmanager
def full_queues(count: int) -> Iterator[list[tuple[str, int]]]:
    """Yield addresses that are listened at, where nobody accepts any more."""
    with contextlib.ExitStack() as stack:
        addresses = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            first = stack.enter_context(socket.socket())
            first.connect(listener.getsockname())
            addresses.append(listener.getsockname())
        yield addresses


def resolve_to(
    monkeypatch: pytest.MonkeyPatch, addresses: list[tuple[str, int]]
) -> None:
    """Let every name have these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_addresses_of_one_name_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with many addresses that do not answer costs one timeout, not one each."""
    with full_queues(60) as addresses:
        resolve_to(monkeypatch, addresses)
        check_gives_up(lambda: new_transport("http://b.invalid").fetch_bundle(""))


def test_address_that_does_not_answer_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A backend of which one address is dead is reached by the other."""
    with serving(Server()) as server, full_queues(1) as addresses:
        resolve_to(monkeypatch, [*addresses, ("127.0.0.1", server.server_address[1])])
        transport = new_transport("http://b.invalid", timeout_seconds=2.0)
        assert transport.fetch_bundle("").body == b'{"guards":[]}'
        transport.close()


def test_address_that_refuses_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one at which nobody listens."""
    with serving(Server()) as server:
        port = int(server.server_address[1])
        resolve_to(monkeypatch, [("127.0.0.1", 1), ("127.0.0.1", port)])
        transport = new_transport("http://b.invalid")
        assert transport.fetch_bundle("").body == b'{"guards":[]}'
        transport.close()
