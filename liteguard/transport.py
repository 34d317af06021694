"""HTTP: one request and its answer, within a deadline."""

from __future__ import annotations

import gzip
import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

import orjson
import requests
from urllib3.exceptions import HTTPError

from liteguard.answers import read_bounded, rejection
from liteguard.deadline import Until
from liteguard.errors import TransportError, TransportRejected
from liteguard.failures import explained, is_cut_off
from liteguard.session import make_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK_BYTES = 64 * 1024
_COMPRESS_FROM_BYTES = 8 * 1024
_NOT_MODIFIED = 304
# A pool holds a connection for each of our threads, and each may have been closed.
_ATTEMPTS = 3
_REJECTED_FROM = 300
_NO_PROXIES = {"http": None, "https": None, "all": None}
# An interpreter that ends lets gevent's resolver, or a thread, fail by RuntimeError.
_FAILURES = (requests.RequestException, HTTPError, OSError, ValueError, RuntimeError)


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
        self._make_session = partial(
            make_session,
            token=token,
            environment=environment,
            process_id=process_id,
            pid=pid,
        )
        self._made_session: Optional[requests.Session] = None
        self._threads_in_requests: set[Optional[int]] = set()
        # Passed with each request: the environment would beat the session's own.
        self._network: dict[str, Any] = {}
        if ca_bundle is not None:
            self._network["verify"] = ca_bundle
        if proxies is not None:
            self._network["proxies"] = {**_NO_PROXIES, **proxies}

    def is_used_by(self, thread_ident: Optional[int]) -> bool:
        """Whether that thread is in a request, and may be for seconds."""
        return thread_ident in self._threads_in_requests

    def fetch_bundle(
        self,
        etag: str,
        protected_context: Optional[Mapping[str, Any]] = None,
        *,
        deadline: float = math.inf,
    ) -> BundleAnswer:
        """Ask for the guards, unless they still carry *etag*.

        Args:
            etag: The tag of the bundle in force, or "".
            protected_context: In its wire form, or ``None`` for the public bundle.
            deadline: When to give up at the latest, in monotonic seconds.

        Raises:
            TransportError: No usable answer came.
        """
        content = dict(self._credentials, **_context_member(protected_context))
        headers = {"If-None-Match": etag} if _is_tag(etag) else {}
        status, answer_headers, body = self._post(
            "guards", _encode(content), headers, deadline
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
        if self._made_session is not None:
            self._made_session.close()

    def _send(self, path: str, content: Mapping[str, Any], deadline: float) -> None:
        body = _encode(dict(self._credentials, **content))
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
        deadline = min(deadline, time.monotonic() + self._timeout_seconds)
        for remaining in range(_ATTEMPTS - 1, -1, -1):
            timeout_seconds = max(0.001, deadline - time.monotonic())
            try:
                return self._attempt(path, body, headers, timeout_seconds)
            except _FAILURES as error:
                # A kept-alive connection that the backend closed at this very moment
                # says nothing about the backend. What is sent twice has the same ids.
                if not remaining or not is_cut_off(error):
                    raise explained(error, self._host, timeout_seconds) from error
        raise AssertionError("the last attempt returns or raises")

    def _attempt(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        deadline = time.monotonic() + timeout_seconds
        session = self._session
        timeout: Any = Until(deadline)
        with (
            self._in_request(),
            session.post(
                f"{self._backend_url}/api/v1/{path}",
                data=body,
                headers=dict(headers),
                timeout=timeout,
                allow_redirects=False,
                stream=True,
                **self._network,
            ) as response,
        ):
            # urllib3 1 takes half an answer for a whole one, unless it is told.
            response.raw.enforce_content_length = True
            content = read_bounded(response.iter_content(_CHUNK_BYTES), deadline)
        if response.status_code >= _REJECTED_FROM:
            if response.status_code == _NOT_MODIFIED:
                return _NOT_MODIFIED, response.headers, b""
            raise rejection(response.status_code, response.reason, response.headers)
        return response.status_code, response.headers, content

    @property
    def _session(self) -> requests.Session:
        """Made at the first request: a child that never makes one need not pay.

        Without a lock, which a child could inherit held. Two threads may make one each.
        """
        session = self._made_session
        if session is None:
            session = self._made_session = self._make_session()
        return session

    @contextmanager
    def _in_request(self) -> Iterator[None]:
        ident = threading.get_ident()
        self._threads_in_requests.add(ident)
        try:
            yield
        finally:
            self._threads_in_requests.discard(ident)


def _is_tag(etag: str) -> bool:
    """Whether a header can hold it; what the backend sent in a body may be anything."""
    return etag.isascii() and etag.isprintable() and etag.strip() == etag != ""


def _encode(content: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(content)
    except TypeError as error:
        raise TransportError(f"cannot be sent as JSON: {error}") from error


def _context_member(context: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    return {} if context is None else {"protectedContext": context}
