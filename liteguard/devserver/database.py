"""The SQLite file: its connections, transactions and durability.

One connection writes, under a lock; reading connections are pooled, because WAL mode
lets them run beside the writer. What a finished ``writing`` block wrote is on disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from liteguard.devserver.migrations import migrate
from liteguard.devserver.news import News

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from liteguard.devserver.news import Topic

BUSY_TIMEOUT_SECONDS = 10.0
"""How long to wait for another process that writes to the same file."""


class Database:
    """One SQLite file in WAL mode; safe to share between threads.

    Opening it creates the file if it is missing and applies outstanding migrations.

    Args:
        path: The database file.

    Attributes:
        news: Tells what writes have changed.

    Raises:
        OSError: The file cannot be created.
        sqlite3.Error: The file cannot be opened or is no SQLite database.
        SchemaTooNewError: A later version of this package wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.news = News()
        path.touch(mode=0o600)  # properties of users are nobody else's business
        self._path = path
        self._write_lock = threading.Lock()  # guards _writer and its transaction
        self._readers: deque[sqlite3.Connection] = deque()
        self._writer = self._connect()
        try:
            self._writer.execute("PRAGMA journal_mode = WAL")
            with self.writing() as connection:
                migrate(connection)
        except BaseException:
            self._writer.close()
            raise

    @contextmanager
    def writing(self, *topics: Topic) -> Iterator[sqlite3.Connection]:
        """Run a block as one durable transaction, after all other writers.

        Args:
            topics: What the block changes; told to the readers of `news` once it is
                on disk.

        Yields:
            The connection; the block's changes are all kept, or none if it raises.
        """
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        self.news.tell(topics)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Run a block that sees one consistent state and waits for no writer.

        Yields:
            A connection for this block alone.
        """
        connection = self._take_reader()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._readers.append(connection)

    def close(self) -> None:
        """Close all connections; no block may be running."""
        while self._readers:
            self._readers.pop().close()
        self._writer.close()

    def _take_reader(self) -> sqlite3.Connection:
        try:
            return self._readers.pop()
        except IndexError:
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,  # transactions are begun and ended by hand
            check_same_thread=False,  # handed from thread to thread, never shared
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection
