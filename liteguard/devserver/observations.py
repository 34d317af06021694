"""Observations: unadopted guards that clients asked for, added up by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liteguard.devserver.wire import Observation, Served

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_INSERT = """
    INSERT INTO observations (
        environment_id, guard_name, first_seen_ms, last_seen_ms, check_count,
        estimated_checks_per_minute
    ) VALUES (
        :environment_id, :guard_name, :first_seen_ms, :last_seen_ms, :check_count,
        :estimated_checks_per_minute
    )
    ON CONFLICT (environment_id, guard_name) DO UPDATE SET
        first_seen_ms = min(first_seen_ms, excluded.first_seen_ms),
        last_seen_ms = max(last_seen_ms, excluded.last_seen_ms),
        check_count = check_count + excluded.check_count,
        estimated_checks_per_minute = excluded.estimated_checks_per_minute,
        reports = reports + 1
"""


class StoredObservation(Served):
    """All reports of one unadopted guard, added up.

    Args:
        guard_name: The name that clients asked for.
        first_seen_ms: Earliest check, in milliseconds since the epoch.
        last_seen_ms: Latest check, in milliseconds since the epoch.
        check_count: Sum of all reported checks.
        estimated_checks_per_minute: As the latest report says.
        reports: How many reports were added up.
    """

    guard_name: str
    first_seen_ms: int
    last_seen_ms: int
    check_count: int
    estimated_checks_per_minute: float
    reports: int


class ObservationList(Served):
    """Observations by guard name."""

    observations: list[StoredObservation]


def store_observations(
    connection: sqlite3.Connection,
    environment_id: int,
    observations: Iterable[Observation],
) -> None:
    """Add a batch of reports to what is known.

    Args:
        connection: Inside a write transaction.
        environment_id: Where the names were asked for.
        observations: The batch.
    """
    rows = (
        {"environment_id": environment_id, **observation.model_dump()}
        for observation in observations
    )
    connection.executemany(_INSERT, rows)


def list_observations(
    connection: sqlite3.Connection, environment_id: int
) -> ObservationList:
    """Return an environment's observations by guard name."""
    rows = connection.execute(
        "SELECT * FROM observations WHERE environment_id = ? ORDER BY guard_name",
        (environment_id,),
    )
    return ObservationList(
        observations=[StoredObservation.model_validate(dict(row)) for row in rows]
    )
