"""Project client tokens: stored as digests, each for one environment or for all."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

from pydantic import StringConstraints

from liteguard.devserver.environments import (
    Environment,
    EnvironmentName,
    find_environment,
)
from liteguard.devserver.problems import RequestProblem
from liteguard.devserver.wire import Managed, Served

if TYPE_CHECKING:
    import sqlite3

PREFIX = "pct-"

MOST_MANAGED = 2
"""Valid tokens that one environment may have by management: one in use, and the next
one while applications move to it."""

USE_NOTED_SECONDS = 30
"""How exactly the last use of a token is known."""

Source = Literal["start", "seed", "management"]

TokenText = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")
]
"""Visible ASCII: it has to travel in a header."""


class NewToken(Managed):
    """A token to create.

    Args:
        environment: The one it is for; ``None`` makes it good for all.
    """

    environment: Optional[EnvironmentName] = None


class TokenFields(Managed):
    """What of a token can be changed."""

    disabled: bool


class Token(Served):
    """A token as it is stored: without the token.

    Args:
        id: Its key, for disabling it.
        environment: The one it is for; ``None`` is all of them.
        disabled: Whether it is refused.
        created_ms: When it was made, in milliseconds since the epoch.
        source: Whether it came with a start of the server, with a seed file, or was
            made by management.
        last_used_ms: When a client last presented it, to half a minute; ``None`` if
            none has.
    """

    id: int
    environment: Optional[str]
    disabled: bool
    created_ms: int
    source: Source
    last_used_ms: Optional[int]


class IssuedToken(Token):
    """A token just made; the only time it is told.

    Args:
        token: The token itself.
    """

    token: str


def authorise(
    connection: sqlite3.Connection, token: str, environment_name: str
) -> Environment:
    """Return the environment if the token opens it.

    A client that names none means the one its token is for.

    Raises:
        RequestProblem: 401 for a token that is unknown or disabled, 404 for an unknown
            environment, 403 for one that the token is not for.
    """
    row = _find(connection, token)
    if row is None or row["disabled"]:
        reason = "the token is unknown or disabled"
        raise RequestProblem(401, reason, field="projectClientToken")
    name = environment_name or row["environment"] or ""
    environment = find_environment(connection, name)
    if row["environment_id"] not in (None, environment.id):
        reason = "the token is not for this environment"
        raise RequestProblem(403, reason, field="environment")
    return environment


def create_token(connection: sqlite3.Connection, new: NewToken) -> IssuedToken:
    """Make a token for the management API.

    Raises:
        RequestProblem: 404, there is no such environment; 409, it has two already.
    """
    _refuse_third(connection, new.environment)
    return issue_token(connection, new, source="management")


def issue_token(
    connection: sqlite3.Connection, new: NewToken, *, source: Source
) -> IssuedToken:
    """Make a random token and store its digest.

    Raises:
        RequestProblem: 404, there is no such environment.
    """
    token = PREFIX + secrets.token_urlsafe(24)
    ensure_token(connection, token, new.environment, source=source)
    row = _find(connection, token)
    return IssuedToken(token=token, **_fields(row))


def ensure_token(
    connection: sqlite3.Connection,
    token: str,
    environment_name: Optional[str],
    *,
    source: Source,
) -> None:
    """Store a given token's digest unless it is there already.

    Args:
        connection: Inside a write transaction.
        token: The token itself.
        environment_name: The environment it is for, or ``None`` for all.
        source: Where it comes from.

    Raises:
        RequestProblem: 404 for an unknown environment.
    """
    environment_id = (
        find_environment(connection, environment_name).id if environment_name else None
    )
    connection.execute(
        "INSERT INTO tokens (digest, environment_id, created_ms, source)"
        " VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (_digest(token), environment_id, _now_ms(), source),
    )


def note_use(connection: sqlite3.Connection, token: str) -> None:
    """Note that a client has presented a token.

    Args:
        connection: Inside a write transaction.
        token: The token itself.
    """
    now_ms = _now_ms()
    connection.execute(
        "UPDATE tokens SET last_used_ms = ?"
        " WHERE digest = ? AND coalesce(last_used_ms, 0) < ?",
        (now_ms, _digest(token), now_ms - USE_NOTED_SECONDS * 1000),
    )


def list_tokens(connection: sqlite3.Connection) -> list[Token]:
    """Return all tokens, oldest first."""
    rows = connection.execute(
        "SELECT tokens.*, environments.name AS environment FROM tokens"
        " LEFT JOIN environments ON environments.id = environment_id ORDER BY tokens.id"
    )
    return [Token(**_fields(row)) for row in rows]


def set_disabled(
    connection: sqlite3.Connection, token_id: int, fields: TokenFields
) -> Token:
    """Refuse a token from now on, or take it again.

    Raises:
        RequestProblem: 404, there is no such token; 409, enabling it would make three.
    """
    if not fields.disabled:
        _refuse_third_beside(connection, token_id)
    connection.execute(
        "UPDATE tokens SET disabled = ? WHERE id = ?", (fields.disabled, token_id)
    )
    for token in list_tokens(connection):
        if token.id == token_id:
            return token
    raise RequestProblem(404, "there is no such token", field="id")


def _refuse_third_beside(connection: sqlite3.Connection, token_id: int) -> None:
    for token in list_tokens(connection):
        if token.id == token_id and token.source == "management" and token.disabled:
            _refuse_third(connection, token.environment)


def _refuse_third(
    connection: sqlite3.Connection, environment_name: Optional[str]
) -> None:
    valid = [
        token
        for token in list_tokens(connection)
        if token.source == "management"
        and token.environment == environment_name
        and not token.disabled
    ]
    if len(valid) >= MOST_MANAGED:
        reason = "there are two valid tokens already: disable one first"
        raise RequestProblem(409, reason, field="environment")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _find(connection: sqlite3.Connection, token: str) -> sqlite3.Row:
    row: sqlite3.Row = connection.execute(
        "SELECT tokens.*, environments.name AS environment FROM tokens"
        " LEFT JOIN environments ON environments.id = environment_id"
        " WHERE digest = ?",
        (_digest(token),),
    ).fetchone()
    return row


def _fields(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "environment": row["environment"],
        "disabled": bool(row["disabled"]),
        "created_ms": row["created_ms"],
        "source": row["source"],
        "last_used_ms": row["last_used_ms"],
    }
