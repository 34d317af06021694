from __future__ import annotations

import email.utils
import errno
import gzip
import inspect
import resource
import socket
import ssl
import threading
import time
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter

from forking import in_child, wait_until
from liteguard.answers import parse_retry_after, read_bounded
from liteguard.deadline import _UntilDeadline
from liteguard.errors import (
    LiteguardError,
    TransportError,
    TransportRejected,
    TransportTimeout,
)
from liteguard.transport import BundleAnswer, Transport
from liteguard.version import __version__
from misbehaving import (
    BROKEN,
    HEAD,
    SLOW,
    Handler,
    Server,
    TLSServer,
    endless,
    hang,
    make_certificate,
    ok,
    raw,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "pct-0123456789abcdef"  # noqa: S105  no token of anybody
SHORT = 0.3
LONG = 20.0


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a running backend."""
    with serving(Server()) as server:
        yield server


def new_transport(url: str, **different: Any) -> Transport:
    """Return a transport for *url*."""
    arguments: dict[str, Any] = {
        "backend_url": url,
        "token": TOKEN,
        "environment": "staging",
        "process_id": "process-1",
        "pid": 4711,
        "timeout_seconds": LONG,
    }
    return Transport(**{**arguments, **different})


@pytest.fixture
def transport(server: Server) -> Iterator[Transport]:
    """Return a transport for the backend."""
    transport = new_transport(server.url)
    yield transport
    transport.close()


def failure(transport: Transport) -> TransportError:
    """Return the error of a fetch, which must fail."""
    with pytest.raises(TransportError) as caught:
        transport.fetch_bundle("")
    return caught.value


@pytest.fixture
def unused_url() -> str:
    """Return an address at which nothing listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


# -- what is sent


def test_a_fetch_is_sent_as_the_protocol_says(
    server: Server, transport: Transport
) -> None:
    """Path, headers and body are those of the published package, and a few more."""
    transport.fetch_bundle("")
    (received,) = server.received
    assert received.path == "/api/v1/guards"
    assert received.content == {
        "projectClientToken": TOKEN,
        "environment": "staging",
    }
    headers = received.headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Liteguard-Environment"] == "staging"
    assert headers["User-Agent"] == f"liteguard-python/{__version__}"
    assert headers["X-Liteguard-Pid"] == "4711"
    assert headers["X-Liteguard-Process"] == "process-1"
    assert "If-None-Match" not in headers


def test_signals_and_observations_are_sent_as_the_protocol_says(
    server: Server, transport: Transport
) -> None:
    """Each has its path and its member beside token and environment."""
    transport.send_signals([{"signalId": "1"}])
    transport.send_observations([{"guardName": "g"}])
    signals, observations = server.received
    credentials = {"projectClientToken": TOKEN, "environment": "staging"}
    assert signals.path == "/api/v1/signals"
    assert signals.content == {**credentials, "signals": [{"signalId": "1"}]}
    assert observations.path == "/api/v1/unadopted-guards"
    assert observations.content == {**credentials, "observations": [{"guardName": "g"}]}
    assert "If-None-Match" not in signals.headers


def test_an_empty_environment_has_no_header(server: Server) -> None:
    """Without an environment the header is left out and the body's field is empty."""
    new_transport(server.url, environment="").fetch_bundle("")
    (received,) = server.received
    assert "X-Liteguard-Environment" not in received.headers
    assert received.content["environment"] == ""


def test_a_path_of_the_base_url_is_kept(server: Server) -> None:
    """A backend may live below a path of its host."""
    new_transport(f"{server.url}/tenant/1").fetch_bundle("")
    assert server.received[0].path == "/tenant/1/api/v1/guards"


def test_a_protected_context_is_sent_verbatim(
    server: Server, transport: Transport
) -> None:
    """It stands in the body as it was given, and only where there is one."""
    context = {"properties": {"user": "\u00fc"}, "signature": "s", "issuedAt": 1}
    transport.fetch_bundle("", context)
    assert server.received[0].content["protectedContext"] == context


def test_what_json_cannot_hold_is_an_error_of_the_transport(
    server: Server, transport: Transport
) -> None:
    """A value from outside that cannot be sent raises nothing unexpected."""
    with pytest.raises(TransportError, match="cannot be sent as JSON"):
        transport.fetch_bundle("", {"properties": {"user": "\ud800"}})
    assert server.received == []


def test_without_a_request_there_is_no_session(transport: Transport) -> None:
    """Neither made nor closed: a process that sends nothing pays nothing."""
    transport.close()
    assert transport._made_session is None


def test_one_connection_serves_many_requests(
    server: Server, transport: Transport
) -> None:
    """Whatever is asked and whatever the answer, the connection is kept."""
    server.answers.extend([ok(), ok(status=304), ok(status=500), ok(b"x" * 200_000)])
    transport.fetch_bundle("")
    transport.fetch_bundle('"v1"')
    failure(transport)
    transport.fetch_bundle("")
    transport.send_signals([])
    assert len({received.port for received in server.received}) == 1
    assert len(server.received) == 5


def test_a_connection_that_the_backend_closed_is_made_anew(
    server: Server, transport: Transport
) -> None:
    """A keep-alive that ran out costs no request."""
    server.answers.append(ok(Connection="close"))
    transport.fetch_bundle("")
    transport.fetch_bundle("")
    first, second = server.received
    assert first.port != second.port


# -- tags


def test_a_tag_is_sent_back_and_confirmed(server: Server, transport: Transport) -> None:
    """With a tag the answer may be that nothing changed."""
    server.answers.append(ok(status=304))
    assert transport.fetch_bundle('"v1"') == BundleAnswer(None, '"v1"')
    assert server.received[0].headers["If-None-Match"] == '"v1"'


def test_a_tag_in_the_header_is_told(server: Server, transport: Transport) -> None:
    """The header's tag comes with the body, which may hold another."""
    server.answers.append(ok(b'{"guards":[]}', ETag='W/"v7"'))
    assert transport.fetch_bundle("") == BundleAnswer(b'{"guards":[]}', 'W/"v7"')


@pytest.mark.parametrize("tag", ["a\r\nX: y", " v1", "v1 ", "\u4e2d", "\u00fc", "a\0"])
def test_a_tag_that_no_header_can_hold_is_not_sent(
    server: Server, transport: Transport, tag: str
) -> None:
    """An odd tag costs an unconditional request, never the request itself."""
    transport.fetch_bundle(tag)
    assert "If-None-Match" not in server.received[0].headers
    assert "X" not in server.received[0].headers


def test_a_folded_tag_does_not_break_the_next_fetch(
    server: Server, transport: Transport
) -> None:
    """A header that goes on in a second line is no tag."""
    server.answers.append(raw(HEAD + b'Connection: close\r\nETag: "a\r\n b"\r\n\r\n{}'))
    answer = transport.fetch_bundle("")
    assert transport.fetch_bundle(answer.etag).body == b'{"guards":[]}'


# -- compression


def test_small_bodies_go_plain_and_large_ones_compressed(
    server: Server, transport: Transport
) -> None:
    """Only what is worth it is compressed, and it arrives the same."""
    small, large = [{"n": 1}], [{"n": n, "text": "x" * 50} for n in range(500)]
    transport.send_signals(small)
    transport.send_signals(large)
    first, second = server.received
    assert "Content-Encoding" not in first.headers
    assert second.headers["Content-Encoding"] == "gzip"
    assert [first.content["signals"], second.content["signals"]] == [small, large]
    assert len(second.body) < 8192


@pytest.mark.parametrize("status", [400, 415])
def test_a_backend_that_cannot_decompress_is_sent_plain_text(
    server: Server, transport: Transport, status: int
) -> None:
    """Compression is tried once, and not again after plain text was taken."""
    large = [{"text": "x" * 20_000}]
    server.answers.append(ok(status=status))
    transport.send_signals(large)
    transport.send_signals(large)
    encodings = [r.headers.get("Content-Encoding") for r in server.received]
    assert encodings == ["gzip", None, None]
    assert server.received[1].content["signals"] == large


def test_a_batch_that_is_refused_either_way_is_refused(
    server: Server, transport: Transport
) -> None:
    """A batch that is wrong in itself says nothing about compression."""
    large = [{"text": "x" * 20_000}]
    server.answers.extend([ok(status=400), ok(status=400)])
    with pytest.raises(TransportRejected, match="400"):
        transport.send_signals(large)
    transport.send_signals(large)
    encodings = [r.headers.get("Content-Encoding") for r in server.received]
    assert encodings == ["gzip", None, "gzip"]


def test_a_refusal_for_another_reason_is_not_tried_in_plain_text(
    server: Server, transport: Transport
) -> None:
    """A backend that is busy gets the batch once."""
    server.answers.append(ok(status=503))
    with pytest.raises(TransportRejected):
        transport.send_signals([{"text": "x" * 20_000}])
    assert len(server.received) == 1


def test_a_compressed_answer_is_read(server: Server, transport: Transport) -> None:
    """The backend may compress a bundle."""
    body = b'{"guards":[' + b" " * 100_000 + b"]}"
    server.answers.append(ok(gzip.compress(body), Content_Encoding="gzip"))
    assert transport.fetch_bundle("").body == body


# -- refusals


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    server: Server, transport: Transport, status: int
) -> None:
    """The token goes to the address that was configured and to no other."""
    server.answers.append(ok(status=status, Location=f"{server.url}/elsewhere"))
    error = failure(transport)
    assert isinstance(error, TransportRejected)
    assert error.status_code == status
    assert [received.path for received in server.received] == ["/api/v1/guards"]


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "LITEGUARD_TOKEN"),
        (403, "LITEGUARD_ENV"),
        (404, "LITEGUARD_BACKEND_URL"),
        (413, "too large"),
        (429, "slow down"),
        (500, "Internal Server Error"),
        (599, "no reason given"),
    ],
)
def test_an_error_status_says_what_to_do(
    server: Server, transport: Transport, status: int, hint: str
) -> None:
    """Each refusal names its status, and its remedy where one is known."""
    server.answers.append(ok(status=status))
    error = failure(transport)
    assert isinstance(error, TransportRejected)
    assert error.status_code == status
    assert error.retry_after_seconds is None
    assert str(status) in str(error)
    assert hint in str(error)


def test_a_reason_that_could_deface_a_log_is_not_repeated(
    server: Server, transport: Transport
) -> None:
    """What a backend says goes to logs in one printable line of bounded length."""
    server.answers.append(raw(b"HTTP/1.1 500 \x1b[31mred\r\nContent-Length: 0\r\n\r\n"))
    assert "no reason given" in str(failure(transport))
    server.answers.append(
        raw(b"HTTP/1.1 500 " + b"y" * 5000 + b"\r\nContent-Length: 0\r\n\r\n")
    )
    assert len(str(failure(transport))) < 200


def test_both_forms_of_retry_after_are_read(
    server: Server, transport: Transport
) -> None:
    """A number of seconds and a date are understood."""
    in_an_hour = email.utils.formatdate(time.time() + 3600, usegmt=True)
    for text, seconds in (("120", 120.0), (in_an_hour, 3600.0)):
        server.answers.append(ok(status=503, Retry_After=text))
        error = failure(transport)
        assert isinstance(error, TransportRejected)
        assert error.retry_after_seconds == pytest.approx(seconds, abs=30.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u00b2", None),
        ("\u0665", None),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("9" * 400, float("inf")),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 99 Zzz 2020 99:99:99 GMT", None),
        ("0 0 0 0 0", None),
        (",", None),
    ],
)
def test_retry_after_is_read_or_ignored(
    text: str | None, seconds: float | None
) -> None:
    """What is no time is no wish, and never an exception."""
    assert parse_retry_after(text, now=lambda: 10.0) == seconds


# -- deadlines


@pytest.mark.parametrize("how", SLOW)
def test_an_answer_that_does_not_end_is_given_up(server: Server, how: str) -> None:
    """However slowly a backend answers, the timeout is for the whole of it."""
    server.answers.append(SLOW[how])
    transport = new_transport(server.url, timeout_seconds=SHORT)
    began = time.monotonic()
    error = failure(transport)
    assert isinstance(error, TransportTimeout), repr(error)
    assert time.monotonic() - began < LONG
    transport.close()


def test_what_is_there_after_the_deadline_is_not_read() -> None:
    """A backend that sends without a pause gets no more time than a slow one."""
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(LONG)
        reader = _UntilDeadline(near)
        far.sendall(b"xy")
        buffer = bytearray(1)
        assert reader.readinto(buffer) == 1
        assert near.gettimeout() == LONG
        reader._began_at -= LONG
        with pytest.raises(socket.timeout):
            reader.readinto(buffer)
        reader.close()


def test_a_backend_that_does_not_accept_is_given_up() -> None:
    """A host whose queue is full is waited for no longer than the timeout."""
    with closing(socket.socket()) as listener, closing(socket.socket()) as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        transport = new_transport(url, timeout_seconds=SHORT)
        assert isinstance(failure(transport), TransportTimeout)
        transport.close()


def test_a_sender_may_set_an_earlier_deadline(
    server: Server, transport: Transport
) -> None:
    """The earlier of timeout and deadline counts, also if it has passed already."""
    server.answers.extend([hang, hang, hang])
    with pytest.raises(TransportTimeout):
        transport.send_signals([], deadline=time.monotonic() + SHORT)
    with pytest.raises(TransportTimeout):
        transport.send_observations([], deadline=time.monotonic() - 5.0)


def test_a_connection_is_as_patient_after_a_slow_answer(server: Server) -> None:
    """What one answer used up of its time is not missing for the next."""

    def slowly(handler: Handler) -> None:
        handler.server.is_closing.wait(SHORT * 0.7)
        ok()(handler)

    server.answers.extend([slowly, slowly, slowly])
    transport = new_transport(server.url, timeout_seconds=SHORT * 4)
    for _ in range(3):
        transport.fetch_bundle("")
    assert len({received.port for received in server.received}) == 1
    transport.close()


def test_after_a_timeout_the_next_request_gets_its_own_answer(server: Server) -> None:
    """A late answer is never taken for that of the next request."""

    def late(handler: Handler) -> None:
        handler.server.is_closing.wait(1.5)
        ok(b"late")(handler)

    server.answers.extend([late, ok(b"right")])
    transport = new_transport(server.url, timeout_seconds=1.0)
    assert isinstance(failure(transport), TransportTimeout)
    assert transport.fetch_bundle("").body == b"right"
    transport.close()


# -- bounds


def test_an_answer_without_bound_is_given_up(
    server: Server, transport: Transport
) -> None:
    """No answer fills the memory."""
    server.answers.append(endless)
    assert "larger than 64 MiB" in str(failure(transport))


def test_a_compressed_answer_is_bounded_by_what_it_becomes(
    server: Server, transport: Transport
) -> None:
    """A small body that would become a large one is given up."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b"\0" * 2**20) for _ in range(100))
    server.answers.append(ok(bomb + packer.flush(), Content_Encoding="gzip"))
    assert "larger than 64 MiB" in str(failure(transport))


def test_a_body_that_takes_long_to_unpack_is_given_up() -> None:
    """The deadline is looked at between chunks, whatever they cost."""
    with pytest.raises(TransportTimeout):
        read_bounded([b"a", b"b"], time.monotonic() - 1.0)
    assert read_bounded([b"a", b"b"], time.monotonic() + LONG) == b"ab"


# -- what else can go wrong


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_answer_is_an_error_of_the_transport(
    server: Server, transport: Transport, how: str
) -> None:
    """Whatever comes back, nothing but a `TransportError` gets out."""
    server.answers.append(BROKEN[how])
    error = failure(transport)
    assert TOKEN not in str(error)
    assert transport.fetch_bundle("").body == b'{"guards":[]}'


def test_a_connection_closed_under_way_is_tried_again(
    server: Server, transport: Transport
) -> None:
    """A backend that closes a kept connection just then still gets the request."""
    server.answers += [raw(b""), raw(b"")]
    assert transport.fetch_bundle("").body == b'{"guards":[]}'


def test_a_backend_that_only_hangs_up_is_given_up(
    server: Server, transport: Transport
) -> None:
    """After three connections closed without an answer the request has failed."""
    server.answers += [raw(b"")] * 3
    assert TOKEN not in str(failure(transport))
    assert not server.answers
    assert transport.fetch_bundle("").body == b'{"guards":[]}'


@pytest.mark.parametrize(
    "how", ["a length that is no number", "an old version", "another type"]
)
def test_what_is_odd_and_readable_is_read(
    server: Server, transport: Transport, how: str
) -> None:
    """An answer that can be understood is taken."""
    data = {
        "a length that is no number": HEAD + b"Content-Length: many\r\n\r\n{}",
        "an old version": b"HTTP/1.0 200 OK\r\n\r\n{}",
        "another type": HEAD + b"Content-Type: image/png; charset=x\r\n\r\n{}",
    }[how]
    server.answers.append(raw(data))
    assert transport.fetch_bundle("").body == b"{}"


def test_a_refused_connection_names_the_address(unused_url: str) -> None:
    """Where nobody listens the error says where that was, and what to check."""
    error = failure(new_transport(unused_url))
    assert unused_url.removeprefix("http://") in str(error)
    assert "refused" in str(error)
    assert "LITEGUARD_BACKEND_URL" in str(error)


def test_want_of_descriptors_is_told_with_its_cure(server: Server) -> None:
    """The network is not to blame where no socket can be made."""

    def starve() -> str:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
        return str(failure(new_transport(server.url)))

    told = in_child(starve)
    assert "Too many open files" in told
    assert "RLIMIT_NOFILE" in told
    assert "LimitNOFILE=" in told
    assert "network" not in told


def test_want_of_the_machines_descriptors_is_another(unused_url: str) -> None:
    """No limit of the process would help."""
    transport = new_transport(unused_url)
    full = OSError(errno.ENFILE, "Too many open files in system")
    transport._session.mount("http://", Raising(full))
    assert "fs.file-max" in str(failure(transport))


@pytest.mark.parametrize(
    "url",
    [
        "http://name.invalid",
        "http://.example.invalid",
        "http://a..b.invalid",
        "http://" + "a" * 70 + ".invalid",
        "http://[fe80::1%25nowhere]:80",
        "http://256.256.256.256",
        "http://127.0.0.1:0",
    ],
)
def test_an_address_that_leads_nowhere_is_an_error_of_the_transport(url: str) -> None:
    """A host that cannot be found raises nothing unexpected."""
    failure(new_transport(url, timeout_seconds=SHORT, proxies={}))


def test_a_password_in_the_url_is_not_told(unused_url: str) -> None:
    """Credentials of a URL do not get into messages."""
    url = unused_url.replace("http://", "http://user:pass-word@")
    error = failure(new_transport(url))
    assert "pass-word" not in str(error)


def exceptions_of(module: Any) -> list[type[Exception]]:
    """Return the exception classes that *module* defines, warnings apart."""
    return sorted(
        (
            found
            for _, found in inspect.getmembers(module, inspect.isclass)
            if issubclass(found, Exception)
            and not issubclass(found, Warning)
            and found.__module__.startswith(("requests", "urllib3"))
        ),
        key=lambda found: f"{found.__module__}.{found.__name__}",
    )


class Raising(BaseAdapter):
    """An adapter that raises.

    Args:
        error: What to raise.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def send(self, *_: object, **__: object) -> requests.Response:
        """Raise."""
        raise self._error

    def close(self) -> None:
        """Do nothing."""


def made(kind: type[Exception]) -> Exception:
    """Return an exception of *kind*, whatever its constructor wants."""
    error = kind.__new__(kind)
    error.args = ("went wrong",)
    # What some of them want for their text.
    error.__dict__.update(partial=0, expected=1, length=b"", response=None)
    return error


@pytest.mark.parametrize(
    "kind",
    [
        *exceptions_of(requests.exceptions),
        *exceptions_of(urllib3.exceptions),
        OSError,
        ssl.SSLError,
        socket.timeout,
        UnicodeError,
        ConnectionResetError,
    ],
)
def test_every_error_of_the_libraries_is_ours(kind: type[Exception]) -> None:
    """No exception class of requests or urllib3 gets out, timeouts told apart."""
    transport = new_transport("http://backend.invalid")
    transport._session.mount("http://", Raising(made(kind)))
    error = failure(transport)
    assert isinstance(error, LiteguardError)
    if issubclass(kind, (requests.Timeout, socket.timeout)):
        assert isinstance(error, TransportTimeout)
    assert TOKEN not in str(error)


def test_a_chain_of_causes_is_followed_to_its_end_and_not_for_ever() -> None:
    """Causes that refer to one another do not keep the thread."""
    inner, outer = OSError("the reason"), requests.ConnectionError("outer")
    outer.__context__ = inner
    transport = new_transport("http://backend.invalid")
    transport._session.mount("http://", Raising(outer))
    assert "the reason" in str(failure(transport))
    inner.__context__ = outer
    failure(transport)


def test_nothing_that_is_printed_holds_the_token(
    server: Server, transport: Transport, unused_url: str
) -> None:
    """Neither representations nor messages tell the token."""
    server.answers.append(ok(status=401))
    errors = [failure(transport), failure(new_transport(unused_url))]
    printed = [*map(repr, errors), *map(str, errors), repr(transport)]
    printed.append(repr(transport._session.auth))
    assert [text for text in printed if TOKEN in text] == []


# -- the surroundings


def test_a_netrc_does_not_replace_the_token(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host's stored password is neither sent nor put in the token's place."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    new_transport(server.url).fetch_bundle("")
    assert server.received[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_proxy_of_the_surroundings_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the option the usual variables count."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    new_transport("http://backend.invalid").fetch_bundle("")
    assert server.received[0].path == "http://backend.invalid/api/v1/guards"


def test_a_proxy_that_is_configured_beats_the_surroundings(
    server: Server, unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option counts more than the variable, for this scheme or for all."""
    monkeypatch.setenv("http_proxy", unused_url)
    monkeypatch.setenv("all_proxy", unused_url)
    for proxies in ({"http": server.url}, {"all": server.url}):
        new_transport("http://backend.invalid", proxies=proxies).fetch_bundle("")
    assert len(server.received) == 2


def test_an_empty_setting_means_no_proxy(
    server: Server, unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who configures no proxies at all gets none, whatever the variables say."""
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, unused_url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    new_transport(server.url, proxies={}).fetch_bundle("")
    assert len(server.received) == 1


def test_a_slow_answer_through_a_proxy_is_given_up(
    server: Server,
) -> None:
    """The deadline holds on the way through a proxy as well."""
    server.answers.append(SLOW["a body"])
    transport = new_transport(
        "http://backend.invalid",
        proxies={"http": server.url},
        timeout_seconds=SHORT,
    )
    assert isinstance(failure(transport), TransportTimeout)
    transport.close()


def test_authorities_that_are_configured_beat_the_surroundings(
    unused_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option counts more than the variables that requests knows."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "theirs.pem"))
    url = unused_url.replace("http://", "https://")
    error = failure(new_transport(url, ca_bundle=str(tmp_path / "ours.pem")))
    assert "ours.pem" in str(error)
    assert "theirs.pem" in str(failure(new_transport(url)))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for loopback, signed by itself."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[Server]:
    """Return a running backend that speaks TLS."""
    with serving(TLSServer(certificate)) as server:
        yield server


def test_a_certificate_is_verified(tls_server: Server, certificate: Path) -> None:
    """Who is not vouched for gets no token; with its authority it is trusted."""
    error = failure(new_transport(tls_server.url, proxies={}))
    assert "certificate" in str(error).lower()
    assert tls_server.received == []
    trusting = new_transport(tls_server.url, ca_bundle=str(certificate), proxies={})
    assert trusting.fetch_bundle("").body == b'{"guards":[]}'
    trusting.fetch_bundle("")
    assert len({received.port for received in tls_server.received}) == 1
    trusting.close()


def test_a_slow_answer_over_tls_is_given_up(
    tls_server: Server, certificate: Path
) -> None:
    """The deadline holds for encrypted connections as well."""
    tls_server.answers.append(SLOW["a body"])
    transport = new_transport(
        tls_server.url, ca_bundle=str(certificate), timeout_seconds=1.0, proxies={}
    )
    assert isinstance(failure(transport), TransportTimeout)
    transport.close()


# -- many threads


def test_threads_share_a_transport(server: Server, transport: Transport) -> None:
    """Requests of several threads neither fail nor get lost."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                transport.fetch_bundle("")
                transport.send_signals([{"n": 1}])
        except TransportError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(server.received) == 80


def test_closing_ends_the_connections(server: Server, transport: Transport) -> None:
    """What a transport opened is closed with it, and may be opened again."""
    transport.fetch_bundle("")
    assert server.ended == 0
    transport.close()
    wait_until(lambda: server.ended == 1)
    transport.fetch_bundle("")
    assert len(server.received) == 2
