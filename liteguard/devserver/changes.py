"""The history of guards: every change, and how to take it back.

Triggers write it, so no change can be forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from liteguard.devserver.guards import ensure_guard, remove_guard, replace_guard
from liteguard.devserver.problems import RequestProblem
from liteguard.devserver.wire import Guard, Served

if TYPE_CHECKING:
    import sqlite3


class Change(Served):
    """One change of a guard.

    Args:
        id: Its place in the order of changes; grows.
        guard_name: The guard.
        changed_ms: When, in milliseconds since the epoch.
        before: The guard before it; ``None`` if there was none.
        after: The guard after it; ``None`` if it was deleted.
    """

    id: int
    guard_name: str
    changed_ms: int
    before: Optional[Guard] = None
    after: Optional[Guard] = None


class ChangeList(Served):
    """Changes, the newest first."""

    changes: list[Change]


def list_changes(
    connection: sqlite3.Connection,
    environment_id: int,
    *,
    guard: Optional[str],
    limit: int,
) -> ChangeList:
    """Return the newest changes of one guard, or of all."""
    condition = "" if guard is None else " AND guard_name = :guard"
    rows = connection.execute(
        "SELECT * FROM changes WHERE environment_id = :environment_id"  # noqa: S608 - a fixed text
        f"{condition} ORDER BY id DESC LIMIT :limit",
        {"environment_id": environment_id, "guard": guard, "limit": limit},
    )
    return ChangeList(changes=[_from_row(row) for row in rows])


def undo_change(
    connection: sqlite3.Connection, environment_id: int, change_id: int
) -> Change:
    """Bring a guard back to what it was before a change; noted as a change itself.

    Args:
        connection: Inside a write transaction.
        environment_id: The guard's environment.
        change_id: The change to take back.

    Returns:
        The newest change of that guard, which is this one unless nothing differed.

    Raises:
        RequestProblem: 404, there is no such change.
    """
    row = connection.execute(
        "SELECT * FROM changes WHERE environment_id = ? AND id = ?",
        (environment_id, change_id),
    ).fetchone()
    if row is None:
        raise RequestProblem(404, "there is no such change", field="id")
    change = _from_row(row)
    if change.before is None:
        remove_guard(connection, environment_id, change.guard_name)
    elif not ensure_guard(connection, environment_id, change.before):
        replace_guard(connection, environment_id, change.before)
    newest = list_changes(connection, environment_id, guard=change.guard_name, limit=1)
    return newest.changes[0]


def _from_row(row: sqlite3.Row) -> Change:
    return Change(
        id=row["id"],
        guard_name=row["guard_name"],
        changed_ms=row["changed_ms"],
        before=_guard(row["before"]),
        after=_guard(row["after"]),
    )


def _guard(document: Optional[str]) -> Optional[Guard]:
    return None if document is None else Guard.model_validate_json(document)
