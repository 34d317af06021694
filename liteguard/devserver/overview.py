"""The overview of an environment: each guard on one line, and those unadopted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Optional

from liteguard.devserver.activity import (
    MINUTE_MS,
    Counts,
    counts_by_guard,
    last_seen_by_guard,
)
from liteguard.devserver.guards import guard_documents
from liteguard.devserver.observations import list_observations
from liteguard.devserver.wire import Served

if TYPE_CHECKING:
    import sqlite3

    from liteguard.devserver.observations import StoredObservation

RATE_MINUTES = 5
"""Over how long checks per minute are averaged."""

SHARE_MINUTES = 60
"""Over how long the share of open answers is taken."""


class GuardLine(Served):
    """A guard and how it is used.

    Args:
        name: Its name.
        adopted: Whether somebody took it up.
        default_value: The answer where no rule matches.
        rules: How many rules it has.
        limited: Whether it has a rate limit that takes effect.
        checks_per_minute: Averaged over the last five minutes.
        open_share: Share of open answers in the last hour; ``None`` without checks.
        last_seen_ms: Its last check, in milliseconds since the epoch, if there was one.
    """

    name: str
    adopted: bool
    default_value: bool
    rules: int
    limited: bool
    checks_per_minute: float
    open_share: Optional[float]
    last_seen_ms: Optional[int]


class UnadoptedLine(Served):
    """A guard that is not adopted, and what clients have reported of it.

    Args:
        name: Its name.
        first_seen_ms: Its earliest check; ``None`` if nobody asked for it.
        last_seen_ms: Its latest check, in the same way.
        check_count: All checks.
        estimated_checks_per_minute: As the latest report says.
    """

    name: str
    first_seen_ms: Optional[int] = None
    last_seen_ms: Optional[int] = None
    check_count: int = 0
    estimated_checks_per_minute: float = 0


class Overview(Served):
    """All guards of an environment.

    Args:
        now_ms: The server's time, in milliseconds since the epoch.
        guards: The adopted ones, by name.
        unadopted: The others, by name.
    """

    now_ms: int
    guards: list[GuardLine]
    unadopted: list[UnadoptedLine]


def read_overview(connection: sqlite3.Connection, environment_id: int) -> Overview:
    """Return all guards of an environment with their use."""
    now_ms = time.time_ns() // 1_000_000
    documents = guard_documents(connection, environment_id)
    guards = [json.loads(document) for document in documents]
    use = Use(connection, environment_id, now_ms)
    adopted = [_line(guard, use) for guard in guards if guard["adopted"]]
    observed = list_observations(connection, environment_id).observations
    return Overview(
        now_ms=now_ms,
        guards=adopted,
        unadopted=_unadopted(
            observed,
            known={guard["name"] for guard in guards if not guard["adopted"]},
            adopted={line.name for line in adopted},
        ),
    )


class Use:
    """How an environment's guards were used lately.

    Args:
        connection: Where to read.
        environment_id: Whose guards.
        now_ms: The time, in milliseconds since the epoch.
    """

    def __init__(
        self, connection: sqlite3.Connection, environment_id: int, now_ms: int
    ) -> None:
        minute = now_ms // MINUTE_MS
        self._recent = counts_by_guard(
            connection, environment_id, minute - RATE_MINUTES
        )
        self._hourly = counts_by_guard(
            connection, environment_id, minute - SHARE_MINUTES
        )
        self._minutes = RATE_MINUTES + now_ms % MINUTE_MS / MINUTE_MS
        self.last_seen_ms = last_seen_by_guard(connection, environment_id)

    def checks_per_minute(self, name: str) -> float:
        """Return a guard's checks per minute, averaged over the last five."""
        return _checks(self._recent.get(name)) / self._minutes

    def open_share(self, name: str) -> Optional[float]:
        """Return the share of open answers in the last hour, if there were any."""
        counts = self._hourly.get(name)
        return counts.open / _checks(counts) if counts and _checks(counts) else None


def _line(guard: dict[str, Any], use: Use) -> GuardLine:
    name = guard["name"]
    return GuardLine(
        name=name,
        adopted=True,
        default_value=guard["defaultValue"],
        rules=len(guard["rules"]),
        limited="rateLimit" in guard,
        checks_per_minute=use.checks_per_minute(name),
        open_share=use.open_share(name),
        last_seen_ms=use.last_seen_ms.get(name),
    )


def _unadopted(
    observed: list[StoredObservation], *, known: set[str], adopted: set[str]
) -> list[UnadoptedLine]:
    lines = {name: UnadoptedLine(name=name) for name in known}
    for observation in observed:
        if observation.guard_name not in adopted:
            lines[observation.guard_name] = UnadoptedLine(
                name=observation.guard_name,
                first_seen_ms=observation.first_seen_ms,
                last_seen_ms=observation.last_seen_ms,
                check_count=observation.check_count,
                estimated_checks_per_minute=observation.estimated_checks_per_minute,
            )
    return [lines[name] for name in sorted(lines)]


def _checks(counts: Optional[Counts]) -> int:
    return counts.open + counts.closed if counts else 0
