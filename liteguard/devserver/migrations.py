"""Brings a database to the newest schema, in numbered steps.

Each step is a module of its own, is applied once and never edited afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from liteguard.devserver import schema_activity, schema_records

if TYPE_CHECKING:
    import sqlite3

MIGRATIONS = (schema_records.STATEMENTS, schema_activity.STATEMENTS)
"""Step n brings the schema from version n to version n + 1."""


class SchemaTooNewError(Exception):
    """The database was written by a later version of this package."""


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the steps that the database has not seen yet.

    Args:
        connection: Inside a write transaction, so that two servers starting on one
            file do not both apply a step.

    Raises:
        SchemaTooNewError: The database knows steps that this version does not.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY)"
    )
    (version,) = connection.execute(
        "SELECT coalesce(max(version), 0) FROM migrations"
    ).fetchone()
    if version > len(MIGRATIONS):
        message = f"schema version {version} is newer than {len(MIGRATIONS)}"
        raise SchemaTooNewError(message)
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO migrations (version) VALUES (?)", (number,))
