"""Who may ask for what, and where routes get the backend's state from."""

from __future__ import annotations

import base64
import ipaddress
import secrets
from typing import TYPE_CHECKING, Annotated, Optional
from urllib.parse import urlsplit

from fastapi import Depends, Request

from liteguard.devserver.bundles import BundleCache
from liteguard.devserver.database import Database
from liteguard.devserver.gate import Gate
from liteguard.devserver.problems import RequestProblem
from liteguard.devserver.processes import note_process
from liteguard.devserver.senders import Sender, address_of, sender_of
from liteguard.devserver.tokens import authorise, note_use

if TYPE_CHECKING:
    import sqlite3

    from liteguard.devserver.environments import Environment
    from liteguard.devserver.wire import DataRequest

SESSION_COOKIE = "liteguard_session"

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
        self._token = ""
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
        self._token = token
        return authorise(connection, token, self._environment_name(asked))

    def note(
        self,
        connection: sqlite3.Connection,
        environment: Environment,
        *,
        polls: int = 0,
        signals: int = 0,
    ) -> None:
        """Note that the client has spoken; after `open_environment`.

        Args:
            connection: Inside a write transaction.
            environment: What it spoke about.
            polls: How often it asked for guards just now.
            signals: How many signals it sent just now.
        """
        note_use(connection, self._token)
        note_process(
            connection, environment.id, self.sender, polls=polls, signals=signals
        )

    def _environment_name(self, asked: DataRequest) -> str:
        if self._environment and asked.environment not in ("", self._environment):
            reason = "differs from the X-Liteguard-Environment header"
            raise RequestProblem(422, reason, field="environment")
        return self._environment or asked.environment


async def caller_of(request: Request) -> Caller:
    """Return the client behind *request*."""
    return Caller(request)


async def gate_of(request: Request) -> Gate:
    """Return the gate of the application that serves *request*."""
    gate: Gate = request.app.state.gate
    return gate


async def refuse_foreign_pages(request: Request) -> None:
    """Refuse what a web page of somebody else's has a browser send.

    Such a page is given away by the origin that the browser states. Without a password
    everything must come from this machine and name it: a page elsewhere could have its
    own name point here.

    Raises:
        RequestProblem: 403.
    """
    host = request.headers.get("Host", "")
    origin = request.headers.get("Origin")
    if origin is not None and _place(origin) != _place("//" + host):
        raise RequestProblem(403, "the request comes from another site's page")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise RequestProblem(403, "the request comes from another site's page")
    if (await gate_of(request)).asks_for_password:
        return
    peer = address_of(request)
    if not (is_local(peer) and is_local(_place("//" + host)[0])):
        reason = "without a password, only programs on the same machine may manage"
        raise RequestProblem(403, reason)


async def require_manager(request: Request) -> None:
    """Refuse who may not manage.

    Raises:
        RequestProblem: 403 for another site's page or another machine, 401 without
            the password where there is one, 429 after too many wrong ones.
    """
    await refuse_foreign_pages(request)
    gate = await gate_of(request)
    if not gate.asks_for_password:
        return
    if gate.is_open_to(request.cookies.get(SESSION_COOKIE, "")):
        return
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise RequestProblem(401, "the management password is missing")
    gate.check_password(_basic_password(credentials), address_of(request))


def _basic_password(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return ""
    return decoded.partition(":")[2]


def _place(url: str) -> tuple[str, Optional[int]]:
    """Return host and port that a URL names; neither if it is malformed."""
    try:
        parts = urlsplit(url)
        place = parts.hostname or "", parts.port
    except ValueError:
        return "", None
    return place


def is_local(host: str) -> bool:
    """Tell whether a host is this machine alone: a loopback address or its name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


DatabaseOf = Annotated[Database, Depends(database_of)]
BundlesOf = Annotated[BundleCache, Depends(bundles_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]
GateOf = Annotated[Gate, Depends(gate_of)]
