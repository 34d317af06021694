"""Activity: checks and executions per minute, and where in the code they happen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Optional

from pydantic import Field

from liteguard.devserver.wire import Served

if TYPE_CHECKING:
    import sqlite3

MINUTE_MS = 60_000
MOST_GUARDS = 50
MOST_CALL_SITES = 100

_COUNTS = """
    sum(open) AS open, sum(closed) AS closed, sum(executions) AS executions,
    sum(failures) AS failures, sum(duration_ns) AS duration_ns,
    sum(limited) AS limited, sum(would_limit) AS would_limit,
    sum(dropped) AS dropped
"""
_WHERE = "WHERE environment_id = :environment_id AND minute >= :since"


class Counts(Served):
    """What happened in some span of time.

    Args:
        open: Checks that answered open.
        closed: Checks that answered closed.
        executions: Executions under a guard.
        failures: Executions that ended by an error.
        duration_ns: Sum of the executions' durations, in nanoseconds.
        limited: Checks that a rate limit closed.
        would_limit: Checks that a dry run's limit would have closed.
        dropped: Signals that clients say they dropped.
    """

    open: int = 0
    closed: int = 0
    executions: int = 0
    failures: int = 0
    duration_ns: int = 0
    limited: int = 0
    would_limit: int = 0
    dropped: int = 0


class MinuteCounts(Counts):
    """One minute that had signals.

    Args:
        start_ms: When the minute began, in milliseconds since the epoch.
    """

    start_ms: int


class GuardCounts(Counts):
    """One guard's part."""

    guard_name: str


class CallSite(Served):
    """A place in an application that asks for a guard.

    Args:
        guard_name: The guard.
        call_site: File and line.
        open: Checks there that answered open, ever.
        closed: Checks there that answered closed, ever.
        executions: Executions there, ever.
        first_seen_ms: The first of them, in milliseconds since the epoch.
        last_seen_ms: The last of them.
    """

    guard_name: str
    call_site: str
    open: int
    closed: int
    executions: int
    first_seen_ms: int
    last_seen_ms: int


class Activity(Served):
    """What happened lately.

    Args:
        now_ms: The server's time, in milliseconds since the epoch.
        since_ms: Where the span begins.
        total: All of the span.
        minutes: The span's minutes that had signals, in order.
        guards: The guards with the most checks in the span, at most 50.
        call_sites: Where checks happened last, at most 100.
    """

    now_ms: int
    since_ms: int
    total: Counts
    minutes: list[MinuteCounts] = Field(default_factory=list)
    guards: list[GuardCounts] = Field(default_factory=list)
    call_sites: list[CallSite] = Field(default_factory=list)


def read_activity(
    connection: sqlite3.Connection,
    environment_id: int,
    *,
    guard: Optional[str],
    span_minutes: int,
) -> Activity:
    """Return what happened in the last minutes, the one under way included.

    Args:
        connection: Where to read.
        environment_id: Whose signals.
        guard: One guard alone; ``None`` for all.
        span_minutes: How far to look back.
    """
    now_ms = time.time_ns() // 1_000_000
    since = now_ms // MINUTE_MS - span_minutes + 1
    values = {"environment_id": environment_id, "guard": guard, "since": since}
    of_guard = "" if guard is None else " AND guard_name = :guard"
    minutes = connection.execute(
        f"SELECT minute * {MINUTE_MS} AS start_ms, {_COUNTS} FROM guard_minutes"  # noqa: S608 - fixed texts
        f" {_WHERE}{of_guard} GROUP BY minute ORDER BY minute",
        values,
    ).fetchall()
    return Activity(
        now_ms=now_ms,
        since_ms=since * MINUTE_MS,
        total=_total(minutes),
        minutes=[MinuteCounts(**dict(row)) for row in minutes],
        guards=_busiest(connection, values, of_guard),
        call_sites=_call_sites(connection, values, of_guard),
    )


def counts_by_guard(
    connection: sqlite3.Connection, environment_id: int, since_minute: int
) -> dict[str, Counts]:
    """Return the counts of each guard that had signals since a minute."""
    rows = connection.execute(
        f"SELECT guard_name, {_COUNTS} FROM guard_minutes {_WHERE}"  # noqa: S608 - fixed texts
        " GROUP BY guard_name",
        {"environment_id": environment_id, "since": since_minute},
    )
    return {row["guard_name"]: GuardCounts(**dict(row)) for row in rows}


def last_seen_by_guard(
    connection: sqlite3.Connection, environment_id: int
) -> dict[str, int]:
    """Return when each guard was last asked for, in milliseconds since the epoch."""
    rows = connection.execute(
        "SELECT guard_name, max(last_seen_ms) AS last_seen_ms FROM call_sites"
        " WHERE environment_id = ? GROUP BY guard_name",
        (environment_id,),
    )
    return {row["guard_name"]: row["last_seen_ms"] for row in rows}


def _total(rows: list[sqlite3.Row]) -> Counts:
    names = Counts.model_fields
    return Counts(**{name: sum(row[name] for row in rows) for name in names})


def _busiest(
    connection: sqlite3.Connection, values: dict[str, Any], of_guard: str
) -> list[GuardCounts]:
    rows = connection.execute(
        f"SELECT guard_name, {_COUNTS} FROM guard_minutes {_WHERE}{of_guard}"  # noqa: S608 - fixed texts
        " GROUP BY guard_name ORDER BY sum(open) + sum(closed) DESC, guard_name"
        f" LIMIT {MOST_GUARDS}",
        values,
    )
    return [GuardCounts(**dict(row)) for row in rows]


def _call_sites(
    connection: sqlite3.Connection, values: dict[str, Any], of_guard: str
) -> list[CallSite]:
    rows = connection.execute(
        "SELECT guard_name, call_site, open, closed, executions, first_seen_ms,"  # noqa: S608 - fixed texts
        " last_seen_ms FROM call_sites"
        f" WHERE environment_id = :environment_id{of_guard}"
        f" ORDER BY last_seen_ms DESC, guard_name LIMIT {MOST_CALL_SITES}",
        values,
    )
    return [CallSite(**dict(row)) for row in rows]
