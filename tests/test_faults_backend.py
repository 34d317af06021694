"""Each way in which a backend misbehaves: what the application sees, and the log."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import pytest

from clients import TOKEN
from liteguard import LiteguardClient
from misbehaving import (
    BROKEN,
    HEAD,
    SLOW,
    Answer,
    Handler,
    Server,
    TLSServer,
    endless,
    make_certificate,
    ok,
    serving,
)
from waiting import until as wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    # Where a client is to look, who answers there, and what ends the trouble.
    Way = tuple[str, Server, Callable[[], object]]

GUARDS = [{"name": "open.guard", "adopted": True, "defaultValue": True}]
BUNDLE = json.dumps({"guards": GUARDS}).encode()
FAST: dict[str, Any] = {
    "refresh_rate_seconds": 0.05,
    "reload_rate_seconds": 0.02,
    # So that a busy machine adds no failure of another kind.
    "http_timeout_seconds": 30.0,
    "flush_rate_seconds": 3600.0,
}
BEGINS = "liteguard: cannot refresh the guards, answering with "
ENDS = "liteguard: the backend answers again"


def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds, for no longer than some rounds take."""
    wait_until(condition, seconds=10.0)


class Ill(NamedTuple):
    """A way to misbehave.

    Args:
        answer: What the backend answers.
        said: What the log line and the status say of it.
        level: The line's level.
        timeout_seconds: How long a client waits for the answer.
    """

    answer: Answer
    said: str
    level: int = logging.WARNING
    timeout_seconds: float = 30.0


def reset(handler: Handler) -> None:
    """Cut the connection so that the client gets a reset."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


def cut_after(data: bytes) -> Answer:
    """Return an answer that is reset after *data*."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(data)
        reset(handler)

    return answer


REACH = "check LITEGUARD_BACKEND_URL"
NO_BUNDLE = "the answer is no bundle"
BOMB = gzip.compress(bytes(80 * 2**20), compresslevel=1)
ILL = {
    **{
        f"slow: {how}": Ill(answer, REACH, timeout_seconds=0.4)
        for how, answer in SLOW.items()
    },
    **{f"broken: {how}": Ill(answer, REACH) for how, answer in BROKEN.items()},
    "cut before the answer": Ill(reset, REACH),
    "cut after the status": Ill(cut_after(HEAD), REACH),
    "cut after the headers": Ill(
        cut_after(HEAD + b"Content-Length: 100\r\n\r\n"), "cannot reach"
    ),
    "cut in a header": Ill(cut_after(HEAD + b"Content-Le"), REACH),
    "cut in the body": Ill(
        cut_after(HEAD + b"Content-Length: 100\r\n\r\n{"), "cannot reach"
    ),
    "endless": Ill(endless, "LITEGUARD_BACKEND_URL"),
    "gzip bomb": Ill(ok(BOMB, Content_Encoding="gzip"), "larger than 64 MiB"),
    **{
        f"redirect {status}": Ill(
            ok(status=status, Location="/elsewhere"), "redirects are not followed"
        )
        for status in (301, 302, 303, 307, 308)
    },
    "400": Ill(ok(status=400), "the backend answered 400"),
    "401": Ill(ok(status=401), "check LITEGUARD_TOKEN", logging.ERROR),
    "403": Ill(ok(status=403), "check LITEGUARD_ENV", logging.ERROR),
    "404": Ill(ok(status=404), REACH),
    "407": Ill(ok(status=407), "proxy"),
    "429": Ill(ok(status=429), "slow down"),
    "429, to wait for nothing": Ill(ok(status=429, Retry_After="0"), "slow down"),
    "429, to wait till long ago": Ill(
        ok(status=429, Retry_After="Thu, 01 Jan 1970 00:01:40 GMT"), "slow down"
    ),
    "429, to wait for nonsense": Ill(ok(status=429, Retry_After="-5"), "slow down"),
    "500": Ill(ok(status=500), "is asked again"),
    "503": Ill(ok(status=503, Retry_After="soon"), "is asked again"),
    "a web page": Ill(ok(b"<html>Log in</html>", Content_Type="text/html"), NO_BUNDLE),
    "nothing": Ill(ok(b""), NO_BUNDLE),
    "a number": Ill(ok(b"7"), NO_BUNDLE),
    "null": Ill(ok(b"null"), NO_BUNDLE),
    "an array": Ill(ok(b"[]"), NO_BUNDLE),
    "no guards": Ill(ok(b"{}"), NO_BUNDLE),
    "guards that are no array": Ill(ok(b'{"guards":{"a":1}}'), NO_BUNDLE),
    "half a bundle": Ill(ok(BUNDLE[:-3]), NO_BUNDLE),
    "two bundles": Ill(ok(BUNDLE * 2), NO_BUNDLE),
    "bytes": Ill(ok(bytes(range(256))), NO_BUNDLE),
    "a deep array": Ill(ok(b"[" * 200_000), NO_BUNDLE),
    "deep guards": Ill(ok(b'{"guards":' + b"[" * 200_000), NO_BUNDLE),
    "a deep field": Ill(ok(b'{"x":' + b'{"y":' * 200_000), NO_BUNDLE),
    "unchanged, unasked": Ill(ok(status=304), "there is none here"),
}


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a backend that can fall ill."""
    with serving(Server()) as running:
        yield running


def ill(server: Server, answer: Answer) -> Callable[[], None]:
    """Let *server* answer all with *answer*; return what makes it well."""
    answers = [answer]

    def act(handler: Handler) -> None:
        server.answers.append(act)
        answers[0](handler)

    server.answers.append(act)

    def recover() -> None:
        answers[0] = ok(BUNDLE)

    return recover


@contextlib.contextmanager
def running(url: str, state_dir: Path, **more: Any) -> Iterator[LiteguardClient]:
    """Run a client of the backend at *url*, with short rates and times."""
    options = {"proxies": {}, "state_dir": str(state_dir), **FAST, **more}
    with LiteguardClient(TOKEN, backend_url=url, **options) as client:
        yield client


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return what was logged, but who leads."""
    found = [(r.levelno, r.getMessage()) for r in caplog.records]
    return [line for line in found if "leads its host" not in line[1]]


def check_story(
    caplog: pytest.LogCaptureFixture, kept: str, said: str, level: int
) -> None:
    """Check that a trouble was told at its start and its end, and nothing else."""
    (first_level, first), (last_level, last) = lines(caplog)
    assert first.startswith(BEGINS + kept)
    assert said in first
    assert (first_level, last_level, last) == (level, logging.INFO, ENDS)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("how", ILL)
def test_backend_that_is_ill_at_the_start(
    how: str, server: Server, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Checks answer the fallback, two lines tell of it, and it ends by itself."""
    caplog.set_level(logging.INFO)
    case = ILL[how]
    recover = ill(server, case.answer)
    with running(
        server.url, state_dir, http_timeout_seconds=case.timeout_seconds
    ) as client:
        until(lambda: client.status().refreshes >= 2)
        assert not client.is_open("open.guard")
        assert client.is_open("open.guard", fallback=True)
        until(lambda: case.said in (client.status().last_error or ""))
        recover()
        until(lambda: client.is_open("open.guard"))
        until(lambda: client.status().last_error is None)
    check_story(caplog, "the fallback: ", case.said, case.level)
    paths = {received.path for received in server.received}
    assert paths <= {"/api/v1/guards", "/api/v1/signals", "/api/v1/unadopted-guards"}


@pytest.mark.parametrize("how", ["500", "401", "a web page", "slow: a body"])
def test_backend_that_falls_ill_later(
    how: str, server: Server, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last bundle stays in force, however long it lasts."""
    caplog.set_level(logging.INFO)
    case = ILL[how]
    recover = ill(server, ok(BUNDLE))
    with running(
        server.url, state_dir, http_timeout_seconds=case.timeout_seconds
    ) as client:
        assert client.is_open("open.guard")
        server.answers.clear()
        recover = ill(server, case.answer)
        seen = client.status().refreshes
        until(lambda: client.status().refreshes >= seen + 3)
        assert client.is_open("open.guard")
        until(lambda: case.said in (client.status().last_error or ""))
        recover()
        until(lambda: client.status().last_error is None)
    check_story(caplog, "the last bundle: ", case.said, case.level)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for loopback."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def unresolvable(_: Path) -> Iterator[Way]:
    """Let the backend's name lead nowhere."""
    with serving(Server()) as server, pytest.MonkeyPatch.context() as patched:
        port = server.server_address[1]
        place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        yield (
            f"http://backend.invalid:{port}",
            server,
            lambda: patched.setattr(socket, "getaddrinfo", lambda *_, **__: [place]),
        )


@contextlib.contextmanager
def hanging_up(_: Path) -> Iterator[Way]:
    """Close each connection once it is there."""
    with serving(Server()) as server:
        server.verify_request = lambda *_: False  # type: ignore[method-assign]  # by case
        yield server.url, server, lambda: vars(server).pop("verify_request")


@contextlib.contextmanager
def refusing_to_shake_hands(certificate: Path) -> Iterator[Way]:
    """End each connection in the middle of its TLS handshake."""
    server = TLSServer(certificate)
    context = server.socket.context  # type: ignore[attr-defined]  # it is wrapped

    def answer(given: object) -> None:
        context.sni_callback = given

    answer(lambda *_: ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE)
    with serving(server):
        yield server.url, server, lambda: answer(None)


@contextlib.contextmanager
def untrusted(certificate: Path) -> Iterator[Way]:
    """Show a certificate that nobody vouches for, until it is replaced."""
    other = certificate.with_name("other")
    other.mkdir(exist_ok=True)
    server = TLSServer(make_certificate(other))
    context = server.socket.context  # type: ignore[attr-defined]  # it is wrapped
    with serving(server):
        yield server.url, server, lambda: context.load_cert_chain(certificate)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (unresolvable, "backend.invalid"),
        (hanging_up, REACH),
        (refusing_to_shake_hands, "handshake failure"),
        (untrusted, "certificate verify failed"),
    ],
)
def test_backend_that_cannot_be_reached(
    way: Callable[[Path], contextlib.AbstractContextManager[Way]],
    said: str,
    certificate: Path,
    state_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No request arrives, two lines tell of it, and it ends by itself."""
    caplog.set_level(logging.INFO)
    with way(certificate) as (url, server, recover):
        ill(server, ok(BUNDLE))
        with running(url, state_dir, ca_bundle=str(certificate)) as client:
            until(lambda: client.status().refreshes >= 2)
            assert not client.is_open("open.guard")
            assert client.is_open("open.guard", fallback=True)
            assert said in (client.status().last_error or "")
            assert server.received == []
            recover()
            until(lambda: client.is_open("open.guard"))
            until(lambda: client.status().last_error is None)
    check_story(caplog, "the fallback: ", said, logging.WARNING)
