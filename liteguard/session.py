"""The kept-alive session of one process: how its requests look and its answers end."""

from __future__ import annotations

import contextlib
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar

from liteguard.deadline import POOL_CLASSES
from liteguard.version import __version__


def make_session(
    *, token: str, environment: str, process_id: str, pid: int
) -> requests.Session:
    """Return a session that names this process, and trusts no .netrc with the token.

    Args:
        token: The project client token.
        environment: Slug of the environment, or "".
        process_id: Opaque id of this process, sent as ``X-Liteguard-Process``.
        pid: This process, sent as ``X-Liteguard-Pid``.
    """
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _PunctualAdapter())
    # An auth object of our own also keeps requests from looking into .netrc.
    session.auth = _BearerToken(token)
    session.cookies = _NoCookies()
    session.headers.update(_headers(environment, process_id, pid))
    return session


class _PunctualAdapter(HTTPAdapter):
    """Ends an answer that does not end by itself."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES
        self.poolmanager.pools = _Pools()

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = POOL_CLASSES
        if not isinstance(manager.pools, _Pools):
            manager.pools = _Pools()
        return manager


class _Pools(dict[Any, Any]):
    """The pool of each backend, for urllib3, without a lock.

    A signal handler could leave it held by what it raises, and all threads wait. Two
    that ask at once may make a pool each, of which one is kept.
    """

    lock = contextlib.nullcontext()

    def clear(self) -> None:
        for pool in list(self.values()):
            pool.close()
        super().clear()


class _NoCookies(RequestsCookieJar):
    """Keeps none, and so needs no lock. The backend sends none that matter."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


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
