"""Step 2 of the schema: activity, counted as it arrives, and the history of guards.

Triggers keep the counts, so that a page about millions of signals reads a few rows,
no write can forget to count, and a signal that arrives again is not counted again.
"""

from __future__ import annotations

_COUNT_MINUTE = """
    INSERT INTO guard_minutes (
        environment_id, minute, guard_name, open, closed, executions, failures,
        duration_ns, limited, would_limit, dropped
    )
    {source}
    ON CONFLICT (environment_id, minute, guard_name) DO UPDATE SET
        open = open + excluded.open,
        closed = closed + excluded.closed,
        executions = executions + excluded.executions,
        failures = failures + excluded.failures,
        duration_ns = duration_ns + excluded.duration_ns,
        limited = limited + excluded.limited,
        would_limit = would_limit + excluded.would_limit,
        dropped = dropped + excluded.dropped
"""
_COUNT_CALL_SITE = """
    INSERT INTO call_sites (
        environment_id, guard_name, call_site, open, closed, executions,
        first_seen_ms, last_seen_ms
    )
    {source}
    ON CONFLICT (environment_id, guard_name, call_site) DO UPDATE SET
        open = open + excluded.open,
        closed = closed + excluded.closed,
        executions = executions + excluded.executions,
        first_seen_ms = min(first_seen_ms, excluded.first_seen_ms),
        last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)
"""
# A client whose clock is ahead is counted when its signal arrives.
_NEW_MINUTE = """
    VALUES (
        NEW.environment_id, min(NEW.timestamp_ms, NEW.received_ms) / 60000,
        NEW.guard_name,
        NEW.kind <> 'guard_execution' AND NEW.result,
        NEW.kind <> 'guard_execution' AND NOT NEW.result,
        NEW.kind = 'guard_execution',
        NEW.error_class IS NOT NULL, coalesce(NEW.duration_ns, 0),
        NEW.limited, NEW.would_limit, NEW.dropped_signals
    )
"""
_NEW_CALL_SITE = """
    VALUES (
        NEW.environment_id, NEW.guard_name, NEW.callsite_id,
        NEW.kind <> 'guard_execution' AND NEW.result,
        NEW.kind <> 'guard_execution' AND NOT NEW.result,
        NEW.kind = 'guard_execution',
        min(NEW.timestamp_ms, NEW.received_ms), min(NEW.timestamp_ms, NEW.received_ms)
    )
"""
_OLD_MINUTES = """
    SELECT environment_id, min(timestamp_ms, received_ms) / 60000, guard_name,
        sum(kind <> 'guard_execution' AND result),
        sum(kind <> 'guard_execution' AND NOT result),
        sum(kind = 'guard_execution'),
        count(error_class), coalesce(sum(duration_ns), 0),
        sum(limited), sum(would_limit), sum(dropped_signals)
    FROM signals WHERE true GROUP BY 1, 2, 3
"""
_OLD_CALL_SITES = """
    SELECT environment_id, guard_name, callsite_id,
        sum(kind <> 'guard_execution' AND result),
        sum(kind <> 'guard_execution' AND NOT result),
        sum(kind = 'guard_execution'),
        min(min(timestamp_ms, received_ms)), max(min(timestamp_ms, received_ms))
    FROM signals WHERE true GROUP BY 1, 2, 3
"""
_NOW_MS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"

STATEMENTS = (
    "ALTER TABLE tokens ADD COLUMN source TEXT NOT NULL DEFAULT 'start'",
    "ALTER TABLE tokens ADD COLUMN last_used_ms INTEGER",
    "ALTER TABLE signals ADD COLUMN duration_ns INTEGER",
    "ALTER TABLE signals ADD COLUMN error_class TEXT",
    "ALTER TABLE signals ADD COLUMN limited INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE signals ADD COLUMN would_limit INTEGER NOT NULL DEFAULT 0",
    """
    UPDATE signals SET
        duration_ns = CAST(
            json_extract(measurement, '$.guardExecution.durationNs') AS INTEGER
        ),
        error_class = json_extract(measurement, '$.guardExecution.errorClass'),
        limited = coalesce(rate_limit_decisions LIKE '%"outcome": "limited"%', 0),
        would_limit =
            coalesce(rate_limit_decisions LIKE '%"outcome": "would_limit"%', 0)
    WHERE measurement IS NOT NULL OR rate_limit_decisions IS NOT NULL
    """,
    "CREATE INDEX signals_by_guard ON signals (environment_id, guard_name, id)",
    """
    CREATE INDEX executions_in_order ON signals (environment_id, id)
    WHERE kind = 'guard_execution'
    """,
    """
    CREATE INDEX rate_limited_in_order ON signals (environment_id, id)
    WHERE rate_limit_decisions IS NOT NULL
    """,
    """
    CREATE TABLE guard_minutes (
        environment_id INTEGER NOT NULL REFERENCES environments (id),
        minute INTEGER NOT NULL,
        guard_name TEXT NOT NULL,
        open INTEGER NOT NULL,
        closed INTEGER NOT NULL,
        executions INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        duration_ns INTEGER NOT NULL,
        limited INTEGER NOT NULL,
        would_limit INTEGER NOT NULL,
        dropped INTEGER NOT NULL,
        PRIMARY KEY (environment_id, minute, guard_name)
    ) WITHOUT ROWID
    """,
    """
    CREATE INDEX guard_minutes_by_guard
    ON guard_minutes (environment_id, guard_name, minute)
    """,
    """
    CREATE TABLE call_sites (
        environment_id INTEGER NOT NULL REFERENCES environments (id),
        guard_name TEXT NOT NULL,
        call_site TEXT NOT NULL,
        open INTEGER NOT NULL,
        closed INTEGER NOT NULL,
        executions INTEGER NOT NULL,
        first_seen_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        PRIMARY KEY (environment_id, guard_name, call_site)
    ) WITHOUT ROWID
    """,
    _COUNT_MINUTE.format(source=_OLD_MINUTES),
    _COUNT_CALL_SITE.format(source=_OLD_CALL_SITES),
    f"""
    CREATE TRIGGER signal_counted AFTER INSERT ON signals BEGIN
        {_COUNT_MINUTE.format(source=_NEW_MINUTE)};
        {_COUNT_CALL_SITE.format(source=_NEW_CALL_SITE)};
    END
    """,
    """
    CREATE TABLE processes (
        environment_id INTEGER NOT NULL REFERENCES environments (id),
        process TEXT NOT NULL,
        pid TEXT NOT NULL,
        address TEXT NOT NULL,
        user_agent TEXT NOT NULL,
        first_seen_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        last_poll_ms INTEGER,
        last_signal_ms INTEGER,
        polls INTEGER NOT NULL,
        signals INTEGER NOT NULL,
        PRIMARY KEY (environment_id, process, pid)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX processes_by_age ON processes (environment_id, last_seen_ms)",
    """
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        environment_id INTEGER NOT NULL REFERENCES environments (id),
        guard_name TEXT NOT NULL,
        changed_ms INTEGER NOT NULL,
        before TEXT,
        after TEXT
    )
    """,
    "CREATE INDEX changes_by_guard ON changes (environment_id, guard_name, id)",
    """
    CREATE TRIGGER changes_bounded AFTER INSERT ON changes BEGIN
        DELETE FROM changes
        WHERE environment_id = NEW.environment_id AND guard_name = NEW.guard_name
            AND id <= (
                SELECT id FROM changes
                WHERE environment_id = NEW.environment_id
                    AND guard_name = NEW.guard_name
                ORDER BY id DESC LIMIT 1 OFFSET 100
            );
    END
    """,
    f"""
    CREATE TRIGGER guard_creation_noted AFTER INSERT ON guards BEGIN
        INSERT INTO changes (environment_id, guard_name, changed_ms, after)
        VALUES (NEW.environment_id, NEW.name, {_NOW_MS}, NEW.document);
    END
    """,  # noqa: S608 - a fixed text
    f"""
    CREATE TRIGGER guard_update_noted AFTER UPDATE ON guards
    WHEN OLD.document <> NEW.document BEGIN
        INSERT INTO changes (environment_id, guard_name, changed_ms, before, after)
        VALUES (
            NEW.environment_id, NEW.name, {_NOW_MS}, OLD.document, NEW.document
        );
    END
    """,  # noqa: S608 - a fixed text
    f"""
    CREATE TRIGGER guard_deletion_noted AFTER DELETE ON guards BEGIN
        INSERT INTO changes (environment_id, guard_name, changed_ms, before)
        VALUES (OLD.environment_id, OLD.name, {_NOW_MS}, OLD.document);
    END
    """,  # noqa: S608 - a fixed text
)
