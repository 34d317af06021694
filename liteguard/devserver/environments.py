"""Environments: separate worlds of guards, tokens and records in one database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field, StringConstraints

from liteguard.devserver.problems import RequestProblem
from liteguard.devserver.wire import Managed, Served

if TYPE_CHECKING:
    import sqlite3

DEFAULT_NAME = "default"
"""The environment of clients that name none and whose token is for all."""

DEFAULT_REFRESH_RATE_SECONDS = 0
SLUG = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

EnvironmentName = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=SLUG)
]
RefreshRate = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class EnvironmentFields(Managed):
    """What of an environment can be changed.

    Args:
        refresh_rate_seconds: Shortest interval at which clients should fetch; 0 leaves
            it to them.
    """

    refresh_rate_seconds: RefreshRate = DEFAULT_REFRESH_RATE_SECONDS


class NewEnvironment(EnvironmentFields):
    """An environment to create."""

    name: EnvironmentName


class Environment(Served):
    """An environment as it is stored.

    Args:
        id: Its key in the database; not served.
        name: Its slug.
        refresh_rate_seconds: As served in the bundle.
        revision: Grows with every change to the bundle.
    """

    id: int = Field(exclude=True)
    name: str
    refresh_rate_seconds: Union[int, float]
    revision: int


def find_environment(connection: sqlite3.Connection, name: str) -> Environment:
    """Return the environment of that name; the empty name is the default one.

    Raises:
        RequestProblem: 404, there is none.
    """
    row = connection.execute(
        "SELECT * FROM environments WHERE name = ?", (name or DEFAULT_NAME,)
    ).fetchone()
    if row is None:
        raise RequestProblem(404, "there is no such environment", field="environment")
    return _from_row(row)


def list_environments(connection: sqlite3.Connection) -> list[Environment]:
    """Return all environments by name."""
    rows = connection.execute("SELECT * FROM environments ORDER BY name")
    return [_from_row(row) for row in rows]


def create_environment(
    connection: sqlite3.Connection, new: NewEnvironment
) -> Environment:
    """Add an environment.

    Raises:
        RequestProblem: 409, the name is taken.
    """
    if not ensure_environment(connection, new):
        raise RequestProblem(409, "this environment exists already", field="name")
    return find_environment(connection, new.name)


def ensure_environment(connection: sqlite3.Connection, new: NewEnvironment) -> bool:
    """Add an environment unless it exists; return whether it was added."""
    cursor = connection.execute(
        "INSERT INTO environments (name, refresh_rate_seconds) VALUES (?, ?)"
        " ON CONFLICT DO NOTHING",
        (new.name, new.refresh_rate_seconds),
    )
    return cursor.rowcount == 1


def set_refresh_rate(
    connection: sqlite3.Connection, name: str, fields: EnvironmentFields
) -> Environment:
    """Change the refresh rate that the environment's bundle asks for.

    Raises:
        RequestProblem: 404, there is no such environment.
    """
    environment = find_environment(connection, name)
    if "refresh_rate_seconds" in fields.model_fields_set:
        connection.execute(
            "UPDATE environments SET refresh_rate_seconds = ? WHERE id = ?",
            (fields.refresh_rate_seconds, environment.id),
        )
    return find_environment(connection, name)


def _from_row(row: sqlite3.Row) -> Environment:
    rate = row["refresh_rate_seconds"]
    return Environment(
        id=row["id"],
        name=row["name"],
        # The published package reads whole seconds; write them as such if they are.
        refresh_rate_seconds=int(rate) if rate.is_integer() else rate,
        revision=row["revision"],
    )
