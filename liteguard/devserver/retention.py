"""Retention: what clients sent is kept for a time and up to a size."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Callable

from liteguard.devserver.activity import MINUTE_MS

if TYPE_CHECKING:
    from liteguard.devserver.database import Database

DAY_MS = 86_400_000
BATCH = 2000
"""Rows deleted in one transaction: other writers wait no longer than that takes."""

PAUSE_SECONDS = 0.02
"""Time for other writers between two batches."""

INTERVAL_SECONDS = 60.0

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much is kept.

    Args:
        days: For how long signals, polls and what is counted of them are kept.
        megabytes: How much of the file may be in use; beyond, the oldest go first.
    """

    days: float
    megabytes: float


class Pruner:
    """Deletes what is beyond the limits, in a thread of its own.

    Args:
        database: What to prune.
        limits: How much is kept.
    """

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pruner", daemon=True)

    def start(self) -> None:
        """Begin; the first round comes at once, then one each minute."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the batch under way; harmless if it never began."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def prune(self) -> int:
        """Delete what is beyond the limits; return how many rows that were."""
        cutoff_ms = int(time.time() * 1000 - self._limits.days * DAY_MS)
        deleted = self._prune_counts(cutoff_ms)
        for table in ("signals", "polls"):
            deleted += self._repeat(partial(_delete_before, table, cutoff_ms))
        deleted += self._repeat(self._delete_if_too_large)
        return deleted

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.prune()
            except sqlite3.Error as error:
                LOGGER.warning("old records could not be deleted: %s", error)
            self._stopped.wait(INTERVAL_SECONDS)

    def _repeat(self, delete: Callable[[sqlite3.Connection], int]) -> int:
        total = 0
        while not self._stopped.is_set():
            with self._database.writing() as connection:
                deleted = delete(connection)
            total += deleted
            if not deleted:
                break
            self._stopped.wait(PAUSE_SECONDS)
        return total

    def _prune_counts(self, cutoff_ms: int) -> int:
        with self._database.writing() as connection:
            return _delete_counts(connection, cutoff_ms)

    def _delete_if_too_large(self, connection: sqlite3.Connection) -> int:
        if bytes_in_use(connection) <= self._limits.megabytes * 1e6:
            return 0
        return _delete_oldest(connection, "signals") or _delete_oldest(
            connection, "polls"
        )


def bytes_in_use(connection: sqlite3.Connection) -> int:
    """Return how much of the file holds data; the rest is free for new rows."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


def _delete_before(table: str, cutoff_ms: int, connection: sqlite3.Connection) -> int:
    # Rows arrive in the order of their ids: the oldest are found without an index.
    cursor = connection.execute(
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM"  # noqa: S608 - a fixed name
        f" (SELECT id, received_ms FROM {table} ORDER BY id LIMIT {BATCH})"
        " WHERE received_ms < ?)",
        (cutoff_ms,),
    )
    return cursor.rowcount


def _delete_oldest(connection: sqlite3.Connection, table: str) -> int:
    cursor = connection.execute(
        f"DELETE FROM {table} WHERE id IN"  # noqa: S608 - a fixed name
        f" (SELECT id FROM {table} ORDER BY id LIMIT {BATCH})"
    )
    return cursor.rowcount


def _delete_counts(connection: sqlite3.Connection, cutoff_ms: int) -> int:
    deleted = connection.execute(
        "DELETE FROM guard_minutes WHERE minute < ?"
        " AND environment_id IN (SELECT id FROM environments)",
        (cutoff_ms // MINUTE_MS,),
    ).rowcount
    for table in ("call_sites", "processes", "observations"):
        deleted += connection.execute(
            f"DELETE FROM {table} WHERE last_seen_ms < ?",  # noqa: S608 - a fixed name
            (cutoff_ms,),
        ).rowcount
    return deleted
