"""Processes: who has spoken lately, and what about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Optional

from liteguard.devserver.wire import Served

if TYPE_CHECKING:
    import sqlite3

    from liteguard.devserver.senders import Sender

MOST_LISTED = 500

_NOTE = """
    INSERT INTO processes (
        environment_id, process, pid, address, user_agent, first_seen_ms,
        last_seen_ms, last_poll_ms, last_signal_ms, polls, signals
    ) VALUES (
        :environment_id, :process, :pid, :address, :user_agent, :now_ms,
        :now_ms, CASE WHEN :polls THEN :now_ms END, CASE WHEN :signals THEN :now_ms END,
        :polls, :signals
    )
    ON CONFLICT (environment_id, process, pid) DO UPDATE SET
        address = excluded.address,
        user_agent = excluded.user_agent,
        last_seen_ms = excluded.last_seen_ms,
        last_poll_ms = coalesce(excluded.last_poll_ms, last_poll_ms),
        last_signal_ms = coalesce(excluded.last_signal_ms, last_signal_ms),
        polls = polls + excluded.polls,
        signals = signals + excluded.signals
"""


class Process(Served):
    """One process that has spoken.

    Args:
        process: Its ``X-Liteguard-Process``; empty if it sends none.
        pid: Its ``X-Liteguard-Pid``; empty if it sends none.
        address: The network address that it was last heard from.
        user_agent: Its ``User-Agent``: name and version of the client.
        first_seen_ms: When it first spoke, in milliseconds since the epoch.
        last_seen_ms: When it last spoke.
        last_poll_ms: When it last asked for guards; ``None`` if it never has.
        last_signal_ms: When it last sent signals; ``None`` if it never has.
        polls: How often it asked for guards.
        signals: How many signals it sent, those sent again included.
    """

    process: str
    pid: str
    address: str
    user_agent: str
    first_seen_ms: int
    last_seen_ms: int
    last_poll_ms: Optional[int]
    last_signal_ms: Optional[int]
    polls: int
    signals: int


class ProcessList(Served):
    """Processes, the one that spoke last first.

    Args:
        processes: At most 500 of them.
        total: How many there are.
        now_ms: The server's time, in milliseconds since the epoch.
    """

    processes: list[Process]
    total: int
    now_ms: int


def note_process(
    connection: sqlite3.Connection,
    environment_id: int,
    sender: Sender,
    *,
    polls: int = 0,
    signals: int = 0,
) -> None:
    """Note that a process has spoken; one that says nothing of itself is left out.

    Args:
        connection: Inside a write transaction.
        environment_id: What it spoke about.
        sender: The process.
        polls: How often it asked for guards just now.
        signals: How many signals it sent just now.
    """
    if sender.process is None and sender.pid is None:
        return
    row = {
        "environment_id": environment_id,
        "process": sender.process or "",
        "pid": sender.pid or "",
        "address": sender.address,
        "user_agent": sender.user_agent or "",
        "now_ms": time.time_ns() // 1_000_000,
        "polls": polls,
        "signals": signals,
    }
    connection.execute(_NOTE, row)


def list_processes(connection: sqlite3.Connection, environment_id: int) -> ProcessList:
    """Return the processes that spoke last."""
    rows = connection.execute(
        "SELECT * FROM processes WHERE environment_id = ?"
        " ORDER BY last_seen_ms DESC LIMIT ?",
        (environment_id, MOST_LISTED),
    )
    found = [Process.model_validate(dict(row)) for row in rows]
    (total,) = connection.execute(
        "SELECT count(*) FROM processes WHERE environment_id = ?", (environment_id,)
    ).fetchone()
    return ProcessList(processes=found, total=total, now_ms=time.time_ns() // 1_000_000)
