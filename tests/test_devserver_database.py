"""The database of the local backend, without a server around it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from liteguard.devserver.database import Database
from liteguard.devserver.migrations import MIGRATIONS, SchemaTooNewError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

INSERT = "INSERT INTO environments (name, refresh_rate_seconds) VALUES (?, 60)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return a new database."""
    opened = Database(tmp_path / "dev.db")
    yield opened
    opened.close()


def names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all environments."""
    rows = connection.execute("SELECT name FROM environments ORDER BY name")
    return [row["name"] for row in rows]


def fail_after_writing(database: Database) -> None:
    """Write something and raise before the end of the block."""
    with database.writing() as connection:
        connection.execute(INSERT, ("half",))
        _ = 1 / 0


def test_migrations_are_applied_once(tmp_path: Path) -> None:
    """Opening a database again keeps what is in it."""
    for name in ("first", "second"):
        database = Database(tmp_path / "dev.db")
        with database.writing() as connection:
            connection.execute(INSERT, (name,))
        database.close()
    database = Database(tmp_path / "dev.db")
    with database.reading() as connection:
        applied = connection.execute("SELECT version FROM migrations").fetchall()
        assert names(connection) == ["first", "second"]
    database.close()
    assert [row["version"] for row in applied] == list(range(1, len(MIGRATIONS) + 1))


def test_database_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """A schema that this version does not know is left alone."""
    database = Database(tmp_path / "dev.db")
    with database.writing() as connection:
        connection.execute("INSERT INTO migrations (version) VALUES (1000)")
    database.close()
    with pytest.raises(SchemaTooNewError, match="1000"):
        Database(tmp_path / "dev.db")


def test_failed_block_leaves_nothing_behind(database: Database) -> None:
    """A transaction is kept whole or not at all, and the next one works."""
    with pytest.raises(ZeroDivisionError):
        fail_after_writing(database)
    with database.writing() as connection:
        connection.execute(INSERT, ("whole",))
    with database.reading() as connection:
        assert names(connection) == ["whole"]


def test_reading_sees_one_state_and_waits_for_no_writer(database: Database) -> None:
    """A block that reads does not notice what is written meanwhile."""
    with database.reading() as reader:
        assert names(reader) == []
        with database.writing() as writer:
            writer.execute(INSERT, ("new",))
        assert names(reader) == []
    with database.reading() as reader:
        assert names(reader) == ["new"]


def test_reading_cannot_leave_a_transaction_open(database: Database) -> None:
    """A block that raises gives back a usable connection."""
    with pytest.raises(ZeroDivisionError), database.reading():
        _ = 1 / 0
    with database.writing() as writer:
        writer.execute(INSERT, ("new",))
    with database.reading() as reader:
        assert names(reader) == ["new"]


def test_writers_take_turns_also_between_processes(tmp_path: Path) -> None:
    """A block that writes begins with what the block before it left behind."""
    first, second = Database(tmp_path / "dev.db"), Database(tmp_path / "dev.db")
    seen: list[list[str]] = []
    has_begun = threading.Event()

    def write() -> None:
        with second.writing() as connection:
            seen.append(names(connection))
            has_begun.set()

    other = threading.Thread(target=write)
    with first.writing() as connection:
        connection.execute(INSERT, ("new",))
        other.start()
        assert not has_begun.wait(timeout=0.2)
    other.join()
    assert seen == [["new"]]
    first.close()
    second.close()


def test_commits_are_synchronised_to_disk(database: Database) -> None:
    """A power failure loses nothing that was answered with success."""
    with database.writing() as connection:
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    assert (level, mode) == (2, "wal")
