"""HTTP: the only file that knows requests."""

from __future__ import annotations

import email.utils
import gzip
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional
from urllib.parse import urlsplit

import orjson
import requests
from requests.auth import AuthBase

from liteguard.errors import (
    TransportError,
    TransportRejected,
    TransportTimeout,
)
from liteguard.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_COMPRESS_FROM_BYTES = 8 * 1024
_NOT_MODIFIED = 304
_REJECTED_FROM = 300


@dataclass(frozen=True)
class BundleAnswer:
    """The backend's answer to a request for guards.

    Args:
        body: The bundle, or ``None`` if the one that is there is still right.
        etag: The tag from the header; the body may hold another, which wins.
    """

    body: Optional[bytes]
    etag: str = ""


class Transport:
    """Speaks the wire protocol with one backend, over one kept-alive session.

    Belongs to one process: after a fork a child makes its own and drops this one
    untouched, since two processes on one connection read each other's answers.
    Thread-safe. Every method blocks for *timeout_seconds* at most.

    Args:
        backend_url: Base URL without trailing slash.
        token: The project client token.
        environment: Slug of the environment, or "".
        process_id: Opaque id of this process, sent as ``X-Liteguard-Process``.
        pid: This process, sent as ``X-Liteguard-Pid``.
        timeout_seconds: For one request, connection and body together.
        ca_bundle: File of certificate authorities, or ``None`` for the usual ones.
        proxies: Proxy URL by scheme; ``None`` takes the environment's.
    """

    def __init__(
        self,
        *,
        backend_url: str,
        token: str,
        environment: str,
        process_id: str,
        pid: int,
        timeout_seconds: float,
        ca_bundle: Optional[str] = None,
        proxies: Optional[Mapping[str, str]] = None,
    ) -> None:
        self._backend_url = backend_url
        # For messages: what stands before an "@" may be a password.
        self._host = urlsplit(backend_url).netloc.rpartition("@")[2]
        self._credentials = {"projectClientToken": token, "environment": environment}
        self._timeout_seconds = timeout_seconds
        self._compresses = True
        self._session = requests.Session()
        # An auth object of our own also keeps requests from looking into .netrc.
        self._session.auth = _BearerToken(token)
        self._session.headers.update(_headers(environment, process_id, pid))
        if ca_bundle is not None:
            self._session.verify = ca_bundle
        if proxies is not None:
            self._session.proxies.update(proxies)

    def fetch_bundle(
        self, etag: str, protected_context: Optional[Mapping[str, Any]] = None
    ) -> BundleAnswer:
        """Ask for the guards, unless they still carry *etag*.

        Args:
            etag: The tag of the bundle in force, or "".
            protected_context: In its wire form, or ``None`` for the public bundle.

        Raises:
            TransportError: No usable answer came.
        """
        content = dict(self._credentials, **_context_member(protected_context))
        headers = {"If-None-Match": etag} if etag else {}
        status, answer_headers, body = self._post(
            "guards", orjson.dumps(content), headers
        )
        if status == _NOT_MODIFIED:
            return BundleAnswer(None, etag)
        return BundleAnswer(body, answer_headers.get("ETag", ""))

    def send_signals(self, signals: list[Any], *, deadline: float = math.inf) -> None:
        """Send encoded signals.

        Args:
            signals: Each in its wire form.
            deadline: When to give up at the latest, in monotonic seconds.

        Raises:
            TransportError: They may not have arrived.
        """
        self._send("signals", {"signals": signals}, deadline)

    def send_observations(
        self, observations: list[dict[str, Any]], *, deadline: float = math.inf
    ) -> None:
        """Send observations of unadopted guards.

        Args:
            observations: Each in its wire form.
            deadline: When to give up at the latest, in monotonic seconds.

        Raises:
            TransportError: They may not have arrived.
        """
        self._send("unadopted-guards", {"observations": observations}, deadline)

    def close(self) -> None:
        """Close the connections. Not for a session inherited over a fork."""
        self._session.close()

    def _send(self, path: str, content: Mapping[str, Any], deadline: float) -> None:
        body = orjson.dumps(dict(self._credentials, **content))
        if len(body) < _COMPRESS_FROM_BYTES or not self._compresses:
            self._post(path, body, {}, deadline)
            return
        try:
            packed = gzip.compress(body, compresslevel=1)
            self._post(path, packed, {"Content-Encoding": "gzip"}, deadline)
        except TransportRejected as error:
            if error.status_code not in {400, 415}:
                raise
            # The backend may not know compressed bodies: ask once without, and if
            # that works stay with it.
            self._post(path, body, {}, deadline)
            self._compresses = False

    def _post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline: float = math.inf,
    ) -> tuple[int, Mapping[str, str], bytes]:
        now = time.monotonic()
        timeout_seconds = max(0.001, min(self._timeout_seconds, deadline - now))
        try:
            with self._session.post(
                f"{self._backend_url}/api/v1/{path}",
                data=body,
                headers=dict(headers),
                timeout=timeout_seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = _read(response, now + timeout_seconds)
        except requests.Timeout as error:
            raise TransportTimeout(
                f"no answer from {self._host} within {timeout_seconds:g} s: "
                "check LITEGUARD_BACKEND_URL and the network"
            ) from error
        except (requests.RequestException, OSError) as error:
            raise TransportError(
                f"cannot reach {self._host} ({_reason(error)}): check "
                "LITEGUARD_BACKEND_URL, the network and the proxy settings"
            ) from error
        if response.status_code >= _REJECTED_FROM:
            if response.status_code == _NOT_MODIFIED:
                return _NOT_MODIFIED, response.headers, b""
            raise _rejection(response)
        return response.status_code, response.headers, content


class _BearerToken(AuthBase):
    """Puts the token into the header, whatever else the host has configured."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _headers(environment: str, process_id: str, pid: int) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": f"liteguard-python/{__version__}",
        "X-Liteguard-Pid": str(pid),
        "X-Liteguard-Process": process_id,
    }
    if environment:
        headers["X-Liteguard-Environment"] = environment
    return headers


def _context_member(context: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    return {} if context is None else {"protectedContext": context}


def _read(response: requests.Response, deadline: float) -> bytes:
    """Read the body within one deadline: a timeout of requests is one per read."""
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > _LARGEST_ANSWER_BYTES:
            raise TransportError(
                f"the answer is larger than {_LARGEST_ANSWER_BYTES // 2**20} MiB"
            )
        if time.monotonic() > deadline:
            raise TransportTimeout("the answer did not end in time")
    return b"".join(chunks)


def _reason(error: BaseException) -> str:
    """Return the innermost cause: the outer ones repeat it in three forms."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error) or type(error).__name__


_HINTS = {
    401: "the token is not valid: check LITEGUARD_TOKEN and whether it was disabled",
    403: "the token may not use this environment: check LITEGUARD_ENV",
    404: "no such address or environment: check LITEGUARD_BACKEND_URL, LITEGUARD_ENV",
    413: "the batch is too large for the backend",
    429: "the backend asks to slow down",
}


def _rejection(response: requests.Response) -> TransportRejected:
    status = response.status_code
    hint = _HINTS.get(status, response.reason or "no reason given")
    return TransportRejected(
        f"the backend answered {status}: {hint}",
        status_code=status,
        retry_after_seconds=_retry_after(response.headers.get("Retry-After")),
    )


def _retry_after(
    text: Optional[str], now: Callable[[], float] = time.time
) -> Optional[float]:
    """Read both forms of ``Retry-After`` (RFC 9110, 10.2.3); nonsense is none."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    moment = email.utils.parsedate_tz(text)
    if moment is None:
        return None
    return max(0.0, email.utils.mktime_tz(moment) - now())
