"""Signals: each stored once, however often it arrives, and the arrivals counted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Optional

from pydantic import Field

from liteguard.devserver.measurements import columns_of
from liteguard.devserver.wire import Served, Signal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from liteguard.devserver.senders import Sender

_INSERT = """
    INSERT INTO signals (
        environment_id, signal_id, guard_name, kind, result, timestamp_ms,
        execution_id, parent_signal_id, sequence_number, callsite_id, dropped_signals,
        properties, measurement, rate_limit_decisions, trace,
        duration_ns, error_class, limited, would_limit,
        received_ms, pid, process, user_agent
    ) VALUES (
        :environment_id, :signal_id, :guard_name, :kind, :result, :timestamp_ms,
        :execution_id, :parent_signal_id, :sequence_number, :callsite_id,
        :dropped_signals_since_last,
        :properties, :measurement, :rate_limit_decisions, :trace,
        :duration_ns, :error_class, :limited, :would_limit,
        :received_ms, :pid, :process, :user_agent
    )
    ON CONFLICT (environment_id, signal_id) DO UPDATE SET deliveries = deliveries + 1
"""
_SELECT = """
    SELECT *, dropped_signals AS dropped_signals_since_last FROM signals
    WHERE environment_id = :environment_id AND id > :since
"""
_CONDITIONS = {
    "guard": " AND guard_name = :guard",
    "before": " AND id < :before",
    "kind": " AND kind = :kind",
}
_TOTALS = """
    SELECT coalesce(sum(deliveries), 0) AS total, count(*) AS stored,
        coalesce(sum(dropped_signals), 0) AS dropped_signals,
        coalesce(max(id), 0) AS last_id
    FROM signals WHERE environment_id = ?
"""
_TALLIES = """
    SELECT guard_name, coalesce(pid, '') AS pid, coalesce(process, '') AS process,
        kind, result, count(*) AS number
    FROM signals WHERE environment_id = ? GROUP BY 1, 2, 3, 4, 5
"""
EXECUTION = "guard_execution"
_DOCUMENTS = ("properties", "measurement", "rate_limit_decisions", "trace")


class StoredSignal(Served):
    """A signal, when it arrived, from whom, and how often.

    Args:
        id: Its place in the order of arrival; grows.
        deliveries: How often it arrived; the other fields are of the first time.
        duration_ns: How long an execution took, in nanoseconds, if it was measured.
        error_class: What an execution ended by, if by an error.
        received_ms: When it arrived, in milliseconds since the epoch.
        pid: The sender's ``X-Liteguard-Pid``.
        process: The sender's ``X-Liteguard-Process``.
        user_agent: The sender's ``User-Agent``.
    """

    id: int
    deliveries: int
    signal_id: str
    guard_name: str
    kind: str
    result: bool
    timestamp_ms: int
    execution_id: str
    parent_signal_id: Optional[str]
    sequence_number: int
    callsite_id: str
    dropped_signals_since_last: int
    properties: dict[str, Any]
    measurement: Optional[dict[str, Any]]
    rate_limit_decisions: Optional[list[dict[str, Any]]]
    trace: Optional[dict[str, Any]]
    duration_ns: Optional[int]
    error_class: Optional[str]
    received_ms: int
    pid: Optional[str]
    process: Optional[str]
    user_agent: Optional[str]


class SignalList(Served):
    """Signals in the order of arrival."""

    signals: list[StoredSignal]


class Tally(Served):
    """Distinct signals of one guard or one sender.

    Args:
        open: Checks that answered open.
        closed: Checks that answered closed.
        executions: Signals of kind ``guard_execution``.
    """

    open: int = 0
    closed: int = 0
    executions: int = 0


class SignalSummary(Served):
    """All signals of an environment, counted.

    Args:
        total: Deliveries, redelivered ones included.
        distinct: Signals with different ids.
        redelivered: Deliveries of a signal that was there already.
        dropped_signals: Sum of what clients say they dropped.
        last_id: Id of the newest signal; 0 if there is none.
        by_guard: Counts per guard name.
        by_pid: Counts per ``X-Liteguard-Pid``; the empty key has sent none.
        by_process: Counts per ``X-Liteguard-Process``, the same way.
    """

    total: int
    distinct: int
    redelivered: int
    dropped_signals: int
    last_id: int
    by_guard: dict[str, Tally] = Field(default_factory=dict)
    by_pid: dict[str, Tally] = Field(default_factory=dict)
    by_process: dict[str, Tally] = Field(default_factory=dict)


def store_signals(
    connection: sqlite3.Connection,
    environment_id: int,
    signals: Iterable[Signal],
    sender: Sender,
) -> None:
    """Store a batch; a signal that is there already is only counted.

    Args:
        connection: Inside a write transaction.
        environment_id: Where the signals belong; ids are unique within it.
        signals: The batch.
        sender: Who sent it.
    """
    origin = {
        "environment_id": environment_id,
        "received_ms": time.time_ns() // 1_000_000,
        "pid": sender.pid,
        "process": sender.process,
        "user_agent": sender.user_agent,
    }
    rows = ({**_columns(signal), **origin} for signal in signals)
    connection.executemany(_INSERT, rows)


def list_signals(
    connection: sqlite3.Connection,
    environment_id: int,
    *,
    newest_first: bool = False,
    rate_limited: bool = False,
    **filters: object,
) -> SignalList:
    """Return signals in the order of arrival.

    Args:
        connection: Where to read.
        environment_id: Whose signals.
        newest_first: Turn the order round: with a limit, the newest are returned.
        rate_limited: Only those that a rate limit, in force or on trial, decided on.
        filters: ``since`` and ``before`` (ids between them), ``limit``, ``guard`` and
            ``kind``; ``None`` takes any.
    """
    query = _SELECT + "".join(
        condition
        for name, condition in _CONDITIONS.items()
        if filters.get(name) is not None
    )
    if filters.get("kind") == EXECUTION:
        query += f" AND kind = '{EXECUTION}'"  # in words: a partial index serves it
    query += " AND rate_limit_decisions IS NOT NULL" if rate_limited else ""
    query += f" ORDER BY id {'DESC' if newest_first else ''} LIMIT :limit"
    rows = connection.execute(query, {"environment_id": environment_id, **filters})
    return SignalList(signals=[_from_row(row) for row in rows])


def summarise_signals(
    connection: sqlite3.Connection, environment_id: int
) -> SignalSummary:
    """Count all signals of an environment."""
    totals = connection.execute(_TOTALS, (environment_id,)).fetchone()
    summary = SignalSummary(
        total=totals["total"],
        distinct=totals["stored"],
        redelivered=totals["total"] - totals["stored"],
        dropped_signals=totals["dropped_signals"],
        last_id=totals["last_id"],
    )
    for row in connection.execute(_TALLIES, (environment_id,)):
        _add(summary.by_guard.setdefault(row["guard_name"], Tally()), row)
        _add(summary.by_pid.setdefault(row["pid"], Tally()), row)
        _add(summary.by_process.setdefault(row["process"], Tally()), row)
    return summary


def _add(tally: Tally, row: sqlite3.Row) -> None:
    if row["kind"] == EXECUTION:
        tally.executions += row["number"]
    elif row["result"]:
        tally.open += row["number"]
    else:
        tally.closed += row["number"]


def _columns(signal: Signal) -> dict[str, object]:
    columns = signal.model_dump()
    for name in _DOCUMENTS:
        value = columns[name]
        columns[name] = None if value is None else json.dumps(value)
    return {**columns, **columns_of(signal)}


def _from_row(row: sqlite3.Row) -> StoredSignal:
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - iterating a row gives values
    for name in _DOCUMENTS:
        values[name] = None if values[name] is None else json.loads(values[name])
    return StoredSignal(**values)
