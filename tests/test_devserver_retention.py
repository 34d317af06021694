"""What the local backend deletes, and what it brings along from earlier versions."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from devserver import DevServer
from liteguard.devserver import migrations, retention, schema_records
from liteguard.devserver.database import Database
from liteguard.devserver.environments import NewEnvironment, ensure_environment
from liteguard.devserver.retention import Limits, Pruner, bytes_in_use
from liteguard.devserver.senders import Sender
from liteguard.devserver.signals import store_signals
from liteguard.devserver.wire import Signal
from waiting import until
from wireclient import WireClient, observation, signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_MS = 86_400_000
ENDLESS = Limits(days=10_000, megabytes=1e9)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return a new database with one environment."""
    opened = Database(tmp_path / "dev.db")
    with opened.writing() as connection:
        ensure_environment(connection, NewEnvironment(name="default"))
    yield opened
    opened.close()


def store(
    database: Database, number: int, *, size: int = 0, age_days: float = 0
) -> None:
    """Store signals that arrived some time ago."""
    fields = [
        signal(f"{age_days}-{n}", properties={"text": "x" * size})
        for n in range(number)
    ]
    received_ms = int(time.time() * 1000 - age_days * DAY_MS)
    with database.writing() as connection:
        batch = [Signal.model_validate(field) for field in fields]
        store_signals(connection, 1, batch, Sender())
        connection.execute(
            "UPDATE signals SET received_ms = ? WHERE signal_id LIKE ?",
            (received_ms, f"{age_days}-%"),
        )


def count(database: Database, table: str = "signals") -> int:
    """Return how many rows a table has."""
    with database.reading() as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(rows)


def test_old_signals_are_deleted_in_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, and none that is young enough."""
    monkeypatch.setattr(retention, "BATCH", 7)
    store(database, 30, age_days=40)
    store(database, 10, age_days=20)
    Pruner(database, Limits(days=30, megabytes=1e9)).prune()
    assert count(database) == 10


def test_counts_and_observations_go_with_their_time(database: Database) -> None:
    """Minutes, call sites, processes and observations of long ago are forgotten."""
    store(database, 5)  # their clients say 2023
    with database.writing() as connection:
        connection.execute(
            "INSERT INTO observations (environment_id, guard_name, first_seen_ms,"
            " last_seen_ms, check_count, estimated_checks_per_minute)"
            " VALUES (1, 'a', 1, 2, 3, 4), (1, 'b', 1, ?, 3, 4)",
            (time.time() * 1000,),
        )
    assert count(database, "guard_minutes") == count(database, "call_sites") == 1
    Pruner(database, Limits(days=30, megabytes=1e9)).prune()
    assert count(database, "guard_minutes") == count(database, "call_sites") == 0
    assert count(database, "observations") == 1


def test_oldest_signals_make_room_when_the_file_is_too_large(
    database: Database,
) -> None:
    """Just as many as needed, and the freed pages serve the next signals."""
    store(database, 4000, size=1000, age_days=3)
    store(database, 4000, size=1000, age_days=2)
    with database.reading() as connection:
        before = bytes_in_use(connection)
    Pruner(database, Limits(days=30, megabytes=before / 2 / 1e6)).prune()
    with database.reading() as connection:
        assert bytes_in_use(connection) <= before / 2
        left = connection.execute(
            "SELECT min(received_ms), count(*) FROM signals"
        ).fetchone()
    assert 1000 <= left[1] <= 4000
    assert left[0] > time.time() * 1000 - 2.5 * DAY_MS


def test_nothing_is_deleted_within_the_limits(database: Database) -> None:
    """Pruning what needs none changes nothing."""
    store(database, 20, age_days=5)
    assert Pruner(database, ENDLESS).prune() == 0
    assert count(database) == 20


def test_guards_are_never_deleted(tmp_path: Path) -> None:
    """However little is kept, guards, tokens and their history stay."""
    arguments = ("--keep-days", "0.0000001", "--keep-megabytes", "0.001")
    with DevServer(tmp_path) as server:
        WireClient(server).send(signal("s1"))
        WireClient(server).fetch()
        WireClient(server).observe(observation("new.guard"))
        server.create_guard("a.guard")
    with DevServer(tmp_path, arguments=arguments) as server:
        until(lambda: server.signal_summary()["distinct"] == 0)
        until(lambda: server.poll_count() == 0)
        until(lambda: server.observations() == {})
        assert [g["name"] for g in server.guards()] == ["a.guard"]
        changes = server.manage("GET", "environments/default/changes")["changes"]
        assert len(changes) == 1


def test_database_that_cannot_be_pruned_is_told(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The pruner says so and goes on; the server does not end for it."""
    with database.writing() as connection:
        connection.execute("DROP TABLE call_sites")
    pruner = Pruner(database, ENDLESS)
    pruner.start()
    until(lambda: "old records could not be deleted" in caplog.text)
    pruner.stop()


def test_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Signals of a database of the first version are counted as if they came now."""
    path = tmp_path / "dev.db"
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("CREATE TABLE migrations (version INTEGER PRIMARY KEY)")
    for statement in schema_records.STATEMENTS:
        old.execute(statement)
    old.execute("INSERT INTO migrations VALUES (1)")
    old.execute("INSERT INTO environments VALUES (1, 'default', 60, 1)")
    old.execute("INSERT INTO guards VALUES (1, 'a', '{\"name\":\"a\"}')")
    measured = '{"guardExecution": {"durationNs": 7, "errorClass": "E"}}'
    limited = '[{"outcome": "limited"}]'
    rows = [
        ("s1", "guard_check", 1, None, None),
        ("s2", "guard_check", 0, None, limited),
        ("s3", "guard_execution", 1, measured, None),
    ]
    for signal_id, kind, result, measurement, decisions in rows:
        old.execute(
            "INSERT INTO signals (environment_id, signal_id, guard_name, kind, result,"
            " timestamp_ms, execution_id, sequence_number, callsite_id,"
            " dropped_signals, properties, received_ms, measurement,"
            " rate_limit_decisions)"
            " VALUES (1, ?, 'a', ?, ?, 120000, '', 1, 'x:1', 2, '{}', 90000, ?, ?)",
            (signal_id, kind, result, measurement, decisions),
        )
    old.close()
    database = Database(path)
    with database.reading() as connection:
        (minute,) = connection.execute("SELECT * FROM guard_minutes").fetchall()
        (site,) = connection.execute("SELECT * FROM call_sites").fetchall()
    database.close()
    assert dict(minute) == {
        "environment_id": 1,
        "minute": 1,
        "guard_name": "a",
        "open": 1,
        "closed": 1,
        "executions": 1,
        "failures": 1,
        "duration_ns": 7,
        "limited": 1,
        "would_limit": 0,
        "dropped": 6,
    }
    assert (site["open"], site["last_seen_ms"]) == (1, 90000)
    assert len(migrations.MIGRATIONS) == 2
