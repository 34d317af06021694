"""Guards: one JSON document each, exactly as clients receive it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from liteguard.devserver.problems import RequestProblem, first_problem
from liteguard.devserver.wire import Guard, GuardFields

if TYPE_CHECKING:
    import sqlite3


def list_guards(connection: sqlite3.Connection, environment_id: int) -> list[Guard]:
    """Return an environment's guards by name."""
    rows = guard_documents(connection, environment_id)
    return [Guard.model_validate_json(document) for document in rows]


def guard_documents(connection: sqlite3.Connection, environment_id: int) -> list[str]:
    """Return an environment's guards by name, as JSON text."""
    rows = connection.execute(
        "SELECT document FROM guards WHERE environment_id = ? ORDER BY name",
        (environment_id,),
    )
    return [row["document"] for row in rows]


def find_guard(connection: sqlite3.Connection, environment_id: int, name: str) -> Guard:
    """Return one guard.

    Raises:
        RequestProblem: 404, there is none of that name.
    """
    row = connection.execute(
        "SELECT document FROM guards WHERE environment_id = ? AND name = ?",
        (environment_id, name),
    ).fetchone()
    if row is None:
        raise RequestProblem(404, "there is no such guard", field="name")
    return Guard.model_validate_json(row["document"])


def create_guard(
    connection: sqlite3.Connection, environment_id: int, guard: Guard
) -> Guard:
    """Add a guard.

    Raises:
        RequestProblem: 409, the name is taken.
    """
    if not ensure_guard(connection, environment_id, guard):
        raise RequestProblem(409, "this guard exists already", field="name")
    return guard


def ensure_guard(
    connection: sqlite3.Connection, environment_id: int, guard: Guard
) -> bool:
    """Add a guard unless there is one of its name; return whether it was added."""
    cursor = connection.execute(
        "INSERT INTO guards (environment_id, name, document) VALUES (?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (environment_id, guard.name, guard.encode()),
    )
    return cursor.rowcount == 1


def update_guard(
    connection: sqlite3.Connection, environment_id: int, name: str, fields: GuardFields
) -> Guard:
    """Replace the fields that were given and keep the others.

    Args:
        connection: Inside a write transaction, so that no other change is undone.
        environment_id: The guard's environment.
        name: The guard.
        fields: What to replace; a limit given as null is removed.

    Raises:
        RequestProblem: 404, there is none of that name.
    """
    stored = find_guard(connection, environment_id, name)
    changed = stored.model_copy(
        update={field: getattr(fields, field) for field in fields.model_fields_set}
    )
    replace_guard(connection, environment_id, changed)
    return changed


def replace_guard(
    connection: sqlite3.Connection, environment_id: int, guard: Guard
) -> bool:
    """Put a guard in the place of the one of its name; return whether it differed."""
    document = guard.encode()
    cursor = connection.execute(
        "UPDATE guards SET document = ?"
        " WHERE environment_id = ? AND name = ? AND document <> ?",
        (document, environment_id, guard.name, document),
    )
    return cursor.rowcount == 1


def delete_guard(
    connection: sqlite3.Connection, environment_id: int, name: str
) -> None:
    """Remove a guard; clients then find it unadopted.

    Raises:
        RequestProblem: 404, there is none of that name.
    """
    if not remove_guard(connection, environment_id, name):
        raise RequestProblem(404, "there is no such guard", field="name")


def remove_guard(
    connection: sqlite3.Connection, environment_id: int, name: str
) -> bool:
    """Remove a guard if it is there; return whether it was."""
    cursor = connection.execute(
        "DELETE FROM guards WHERE environment_id = ? AND name = ?",
        (environment_id, name),
    )
    return cursor.rowcount == 1


def adopt_guard(
    connection: sqlite3.Connection, environment_id: int, name: str
) -> Guard:
    """Adopt a guard that exists, or create one that clients asked for.

    Raises:
        RequestProblem: 404, the name is neither a guard nor observed; 422, it was
            observed and is no valid name for a guard.
    """
    try:
        return update_guard(connection, environment_id, name, GuardFields(adopted=True))
    except RequestProblem:
        _require_observed(connection, environment_id, name)
    try:
        guard = Guard(name=name, adopted=True)
    except ValidationError as error:
        problem = first_problem(error.errors())
        raise RequestProblem(422, problem.reason, field=problem.field) from error
    return create_guard(connection, environment_id, guard)


def _require_observed(
    connection: sqlite3.Connection, environment_id: int, name: str
) -> None:
    row = connection.execute(
        "SELECT 1 FROM observations WHERE environment_id = ? AND guard_name = ?",
        (environment_id, name),
    ).fetchone()
    if row is None:
        reason = "there is no such guard and no client asked for one"
        raise RequestProblem(404, reason, field="name")
