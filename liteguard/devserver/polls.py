"""Polls: every fetch of a bundle that was answered, for counting them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Optional

from pydantic import Field

from liteguard.devserver.wire import Served

if TYPE_CHECKING:
    import sqlite3

    from liteguard.devserver.senders import Sender

FETCHED = 200
NOT_MODIFIED = 304


class Poll(Served):
    """One fetch.

    Args:
        id: Its place in the order of arrival; grows.
        received_ms: When it was answered, in milliseconds since the epoch.
        status: 200 with a bundle, 304 without.
        pid: The sender's ``X-Liteguard-Pid``.
        process: The sender's ``X-Liteguard-Process``.
        user_agent: The sender's ``User-Agent``.
    """

    id: int
    received_ms: int
    status: int
    pid: Optional[str]
    process: Optional[str]
    user_agent: Optional[str]


class PollList(Served):
    """Polls in the order of arrival."""

    polls: list[Poll]


class PollSummary(Served):
    """All polls of an environment, counted.

    Args:
        total: All of them.
        fetched: Those answered with a bundle (200).
        not_modified: Those answered without one (304).
        by_pid: Counts per ``X-Liteguard-Pid``; the empty key has sent none.
        by_process: Counts per ``X-Liteguard-Process``, the same way.
    """

    total: int = 0
    fetched: int = 0
    not_modified: int = 0
    by_pid: dict[str, int] = Field(default_factory=dict)
    by_process: dict[str, int] = Field(default_factory=dict)


def record_poll(
    connection: sqlite3.Connection, environment_id: int, status: int, sender: Sender
) -> None:
    """Store one poll.

    Args:
        connection: Inside a write transaction.
        environment_id: Whose bundle was fetched.
        status: What the poll is answered with.
        sender: Who polled.
    """
    connection.execute(
        "INSERT INTO polls"
        " (environment_id, received_ms, status, pid, process, user_agent)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            environment_id,
            time.time_ns() // 1_000_000,
            status,
            sender.pid,
            sender.process,
            sender.user_agent,
        ),
    )


def list_polls(
    connection: sqlite3.Connection, environment_id: int, *, since: int, limit: int
) -> PollList:
    """Return polls with ids above *since*, in the order of arrival."""
    rows = connection.execute(
        "SELECT * FROM polls WHERE environment_id = ? AND id > ? ORDER BY id LIMIT ?",
        (environment_id, since, limit),
    )
    return PollList(polls=[Poll.model_validate(dict(row)) for row in rows])


def summarise_polls(connection: sqlite3.Connection, environment_id: int) -> PollSummary:
    """Count all polls of an environment."""
    summary = PollSummary()
    rows = connection.execute(
        "SELECT status, coalesce(pid, '') AS pid, coalesce(process, '') AS process,"
        " count(*) AS number FROM polls WHERE environment_id = ? GROUP BY 1, 2, 3",
        (environment_id,),
    )
    for row in rows:
        number = row["number"]
        summary.total += number
        summary.fetched += number if row["status"] == FETCHED else 0
        summary.not_modified += number if row["status"] == NOT_MODIFIED else 0
        for counts, key in (
            (summary.by_pid, row["pid"]),
            (summary.by_process, row["process"]),
        ):
            counts[key] = counts.get(key, 0) + number
    return summary
