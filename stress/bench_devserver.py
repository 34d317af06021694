"""How quick the local backend's page stays with many guards and many signals.

Fills one database with 1,000 guards and no signals, and another with as many guards and
5 million signals, starts ``liteguard dev`` on both, and makes each request of the page
of one and the other in turn: ``python stress/bench_devserver.py [signals] [guards]``.
Needs some 3 GB in the temporary folder.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import requests

from liteguard.devserver.database import Database
from liteguard.devserver.retention import Limits, Pruner, bytes_in_use

if TYPE_CHECKING:
    from collections.abc import Iterator

BRIEFLY = bool(os.environ.get("STRESS_BRIEFLY"))
DEFAULT_SIGNALS = 2_000 if BRIEFLY else 5_000_000
DEFAULT_GUARDS = 10 if BRIEFLY else 1000
REPEATS = 2 if BRIEFLY else 15
BATCH = 100_000
DAYS = 7
MINUTE_MS = 60_000
# A quarter falls into the last hour: what the page looks at most is full.
FILL = """
    WITH RECURSIVE n (i) AS (
        SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end
    )
    INSERT INTO signals (
        environment_id, signal_id, guard_name, kind, result, timestamp_ms,
        execution_id, sequence_number, callsite_id, dropped_signals, properties,
        measurement, received_ms, pid, process, user_agent, duration_ns
    )
    SELECT 1, 'signal-' || i, 'guard.' || (i * 7919 % :guards),
        iif(i % 20, 'guard_check', 'guard_execution'), i % 3 = 0,
        :now - iif(i < :signals * 3 / 4,
            3600000 + (:signals - i) * (:span / :signals), (:signals - i) % 3600000),
        'execution-' || (i / 10), i, 'shop/views.py:' || (i % 400), 0,
        '{"user_id": "user-' || (i % 5000) || '", "plan": "pro", "age": 40}',
        '{"guardCheck": {"rssBytes": 52428800, "cpuTimeNs": 81234567}}',
        :now - (:signals - i) / 10, '' || (i % 50), 'process-' || (i % 50),
        'liteguard-python/1.0.0', iif(i % 20, NULL, 1000000)
    FROM n
"""
REQUESTS = {
    "Guards: overview": "overview",
    "Guard: activity of one hour": "activity?guard=guard.7&minutes=60",
    "Guard: last checks": "signals?guard=guard.7&newest_first=true&limit=50",
    "Guard: history": "changes?guard=guard.7",
    "Monitor: activity of one hour": "activity?minutes=60",
    "Monitor: activity of six hours": "activity?minutes=360",
    "Monitor: newest signals": "signals?newest_first=true&limit=100",
    "Monitor: newest executions": (
        "signals?kind=guard_execution&newest_first=true&limit=100"
    ),
    "Monitor: newest rate limits": "signals?rate_limited=true&newest_first=true",
    "Processes": "processes",
}


def fill(path: Path, signals: int, guards: int) -> None:
    """Make a database, with the triggers at work, and tell how long that took."""
    Database(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("INSERT INTO environments VALUES (1, 'default', 60, 1)")
    rules = [{"propertyName": "plan", "operator": "IN", "values": ["pro"]}] * 3
    fields: dict[str, Any] = {"adopted": True, "defaultValue": False, "rules": rules}
    for number in range(guards):
        name = f"guard.{number}"
        document = json.dumps({"name": name, **fields})
        connection.execute("INSERT INTO guards VALUES (1, ?, ?)", (name, document))
    values = {"signals": signals, "guards": guards, "now": int(time.time() * 1000)}
    values["span"] = DAYS * 24 * 60 * MINUTE_MS
    started = time.perf_counter()
    for first in range(0, signals, BATCH):
        end = min(signals, first + BATCH)
        connection.execute(FILL, {**values, "first": first, "end": end})
    taken = time.perf_counter() - started
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = bytes_in_use(connection)
    connection.close()
    if signals:
        each = taken / signals * 1e6
        print(f"filled {signals:,} signals: {size / 1e6:,.0f} MB, {each:.1f} µs each")


@contextmanager
def backend(path: Path) -> Iterator[dict[str, Any]]:
    """Run ``liteguard dev`` on a database; yield what it announces."""
    program = [
        sys.executable,
        "-m",
        "liteguard",
        "dev",
        "--port",
        "0",
        "--db",
        str(path),
    ]
    limits = ["--keep-days", "400", "--keep-megabytes", "100000"]
    with subprocess.Popen(  # noqa: S603 - our own program
        [*program, *limits], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def milliseconds(session: requests.Session, url: str) -> float:
    """Return how long a request takes, its body included."""
    started = time.perf_counter()
    session.get(url).raise_for_status()
    return (time.perf_counter() - started) * 1000


def send_milliseconds(
    session: requests.Session, at: dict[str, Any], mark: str
) -> float:
    """Return how long it takes until a client's usual batch is on disk."""
    now_ms = int(time.time() * 1000)
    signals = [
        {
            "signalId": f"{mark}-{number}",
            "guardName": f"guard.{number}",
            "kind": "guard_check",
            "result": True,
            "timestampMs": now_ms,
            "callsiteId": "shop/views.py:1",
            "properties": {"user_id": f"user-{number}", "plan": "pro"},
        }
        for number in range(500)
    ]
    body = {"projectClientToken": at["token"], "environment": "", "signals": signals}
    headers = {"Authorization": f"Bearer {at['token']}"}
    started = time.perf_counter()
    session.post(at["url"] + "/api/v1/signals", json=body, headers=headers)
    return (time.perf_counter() - started) * 1000


def tell(name: str, empty: list[float], full: list[float]) -> None:
    """Print one line: medians, the worst tenth, and the ratio."""
    ratio = median(full) / median(empty)
    worst = quantiles(full, n=10)[-1]
    print(
        f"{name:32} {median(empty):8.1f} {median(full):8.1f} {worst:8.1f} {ratio:7.2f}"
    )


def measure(empty: dict[str, Any], full: dict[str, Any]) -> None:
    """Make each request of both backends in turn and print what they took."""
    print(f"{'milliseconds':32} {'empty':>8} {'full':>8} {'p90':>8} {'ratio':>7}")
    path = "/manage/v1/environments/default/"
    with requests.Session() as session:
        session.trust_env = False
        for name, rest in REQUESTS.items():
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(REPEATS):
                for at, times in zip((empty, full), taken):
                    times.append(milliseconds(session, at["url"] + path + rest))
            tell(name, *taken)
        sent: tuple[list[float], list[float]] = ([], [])
        for number in range(REPEATS):
            for at, times in zip((empty, full), sent):
                times.append(send_milliseconds(session, at, f"new-{number}"))
        tell("Taking 500 signals", *sent)


def prune(path: Path) -> None:
    """Delete half of what a database holds and print what that took."""
    database = Database(path)
    with database.reading() as connection:
        half = bytes_in_use(connection) / 2e6
    started = time.perf_counter()
    deleted = Pruner(database, Limits(days=10_000, megabytes=half)).prune()
    taken = time.perf_counter() - started
    database.close()
    print(f"pruned {deleted:,} signals by size in {taken:.0f} s, pauses included")


def main(signals: int, guards: int) -> None:
    """Fill, measure, prune."""
    with tempfile.TemporaryDirectory() as name:
        empty, full = Path(name) / "empty.db", Path(name) / "full.db"
        fill(empty, 0, guards)
        fill(full, signals, guards)
        with ExitStack() as stack:
            measure(*(stack.enter_context(backend(path)) for path in (empty, full)))
        prune(full)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*[*given, *[DEFAULT_SIGNALS, DEFAULT_GUARDS][len(given) :]])
