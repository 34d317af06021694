"""Step 1 of the schema: environments, tokens, guards, and what clients send.

Triggers raise an environment's revision, so no write can forget to: the bundle
served to clients is cached by that number.
"""

from __future__ import annotations

STATEMENTS = (
    """
    CREATE TABLE environments (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        refresh_rate_seconds REAL NOT NULL,
        revision INTEGER NOT NULL DEFAULT 1
    )
    """,
    """
    CREATE TABLE tokens (
        id INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        environment_id INTEGER REFERENCES environments (id),
        created_ms INTEGER NOT NULL,
        disabled INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE guards (
        environment_id INTEGER NOT NULL REFERENCES environments (id),
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (environment_id, name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE signals (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        environment_id INTEGER NOT NULL REFERENCES environments (id),
        signal_id TEXT NOT NULL,
        deliveries INTEGER NOT NULL DEFAULT 1,
        guard_name TEXT NOT NULL,
        kind TEXT NOT NULL,
        result INTEGER NOT NULL,
        timestamp_ms INTEGER NOT NULL,
        execution_id TEXT NOT NULL,
        parent_signal_id TEXT,
        sequence_number INTEGER NOT NULL,
        callsite_id TEXT NOT NULL,
        dropped_signals INTEGER NOT NULL,
        properties TEXT NOT NULL,
        measurement TEXT,
        rate_limit_decisions TEXT,
        trace TEXT,
        received_ms INTEGER NOT NULL,
        pid TEXT,
        process TEXT,
        user_agent TEXT,
        UNIQUE (environment_id, signal_id)
    )
    """,
    "CREATE INDEX signals_in_order ON signals (environment_id, id)",
    """
    CREATE TABLE observations (
        environment_id INTEGER NOT NULL REFERENCES environments (id),
        guard_name TEXT NOT NULL,
        first_seen_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        check_count INTEGER NOT NULL,
        estimated_checks_per_minute REAL NOT NULL,
        reports INTEGER NOT NULL DEFAULT 1,
        PRIMARY KEY (environment_id, guard_name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE polls (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        environment_id INTEGER NOT NULL REFERENCES environments (id),
        received_ms INTEGER NOT NULL,
        status INTEGER NOT NULL,
        pid TEXT,
        process TEXT,
        user_agent TEXT
    )
    """,
    "CREATE INDEX polls_in_order ON polls (environment_id, id)",
    """
    CREATE TRIGGER guard_created AFTER INSERT ON guards BEGIN
        UPDATE environments SET revision = revision + 1 WHERE id = NEW.environment_id;
    END
    """,
    """
    CREATE TRIGGER guard_updated AFTER UPDATE ON guards BEGIN
        UPDATE environments SET revision = revision + 1 WHERE id = NEW.environment_id;
    END
    """,
    """
    CREATE TRIGGER guard_deleted AFTER DELETE ON guards BEGIN
        UPDATE environments SET revision = revision + 1 WHERE id = OLD.environment_id;
    END
    """,
    """
    CREATE TRIGGER refresh_rate_updated
    AFTER UPDATE OF refresh_rate_seconds ON environments BEGIN
        UPDATE environments SET revision = revision + 1 WHERE id = NEW.id;
    END
    """,
)
