"""Who may ask for what, and where routes get the backend's state from."""

from __future__ import annotations

import ipaddress
import secrets
from typing import TYPE_CHECKING, Annotated, Optional
from urllib.parse import urlsplit

from fastapi import Depends, Request

from liteguard.devserver.bundles import BundleCache
from liteguard.devserver.database import Database
from liteguard.devserver.problems import RequestProblem
from liteguard.devserver.senders import Sender, sender_of
from liteguard.devserver.tokens import authorise

if TYPE_CHECKING:
    import sqlite3

    from liteguard.devserver.environments import Environment
    from liteguard.devserver.wire import DataRequest

# The dependencies are coroutines because each plain function would cost a request one
# more trip to the thread pool.


async def database_of(request: Request) -> Database:
    """Return the database of the application that serves *request*."""
    database: Database = request.app.state.database
    return database


async def bundles_of(request: Request) -> BundleCache:
    """Return the bundle cache of the application that serves *request*."""
    bundles: BundleCache = request.app.state.bundles
    return bundles


class Caller:
    """A client, as its headers present it.

    Args:
        request: The client's request.
    """

    def __init__(self, request: Request) -> None:
        self._authorization = request.headers.get("Authorization", "")
        self._environment = request.headers.get("X-Liteguard-Environment", "")
        self.if_none_match: Optional[str] = request.headers.get("If-None-Match")
        self.sender: Sender = sender_of(request)

    def open_environment(
        self, connection: sqlite3.Connection, asked: DataRequest
    ) -> Environment:
        """Return the environment that the client names, if its token opens it.

        Raises:
            RequestProblem: 401 for missing, differing or wrong tokens, 403 or 404 for
                the wrong environment, 422 if header and body name different ones.
        """
        scheme, _, token = self._authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            reason = "the bearer token is missing"
            raise RequestProblem(401, reason, field="Authorization")
        if not secrets.compare_digest(
            token.encode(), asked.project_client_token.encode()
        ):
            reason = "differs from the bearer token"
            raise RequestProblem(401, reason, field="projectClientToken")
        return authorise(connection, token, self._environment_name(asked))

    def _environment_name(self, asked: DataRequest) -> str:
        if self._environment and asked.environment not in ("", self._environment):
            reason = "differs from the X-Liteguard-Environment header"
            raise RequestProblem(422, reason, field="environment")
        return self._environment or asked.environment


async def caller_of(request: Request) -> Caller:
    """Return the client behind *request*."""
    return Caller(request)


async def require_local(request: Request) -> None:
    """Refuse what does not come from a program on this machine.

    The management API has no passwords. A web page of somebody else's, open in a
    browser on this machine, is given away by the host it names or the origin it
    states.

    Raises:
        RequestProblem: 403.
    """
    peer = request.client.host if request.client else ""
    named = _hostname("//" + request.headers.get("Host", ""))
    origin = request.headers.get("Origin")
    hosts = [peer, named, peer if origin is None else _hostname(origin)]
    if not all(_is_local(host) for host in hosts):
        reason = "the management API answers programs on the same machine only"
        raise RequestProblem(403, reason)


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


DatabaseOf = Annotated[Database, Depends(database_of)]
BundlesOf = Annotated[BundleCache, Depends(bundles_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]
