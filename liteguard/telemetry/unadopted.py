"""Counts of checks of guards that nobody has adopted."""

from __future__ import annotations

import threading
from typing import Any

from liteguard.process.turns import locked

_MAX_NAMES = 1000
_MAX_NAME_CHARACTERS = 200


class UnadoptedCounts:
    """First and last sight and number of checks, by guard name.

    Bounded: beyond 1,000 names new ones are not counted until the next flush, so a
    name built from user input cannot grow memory. Belongs to one process. Thread-safe;
    the lock guards the dict and is held for a few instructions only.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler that makes a check may run in the middle of one.
        self._lock = threading.RLock()
        self._seen: dict[str, list[int]] = {}

    @locked
    def count(self, name: str, now: float) -> None:
        """Count one check. *now* is in wall-clock seconds."""
        moment = int(now * 1000)
        entry = self._seen.get(name)
        if entry is not None:
            entry[1] = moment
            entry[2] += 1
        elif len(self._seen) < _MAX_NAMES and 0 < len(name) <= _MAX_NAME_CHARACTERS:
            self._seen[name] = [moment, moment, 1]

    @locked
    def take(self) -> dict[str, list[int]]:
        """Return the counts and begin anew."""
        seen, self._seen = self._seen, {}
        return seen

    @locked
    def give_back(self, seen: dict[str, list[int]]) -> None:
        """Add counts that could not be delivered to those made since."""
        for name, (first, last, count) in seen.items():
            entry = self._seen.get(name)
            if entry is not None:
                entry[0] = min(entry[0], first)
                entry[1] = max(entry[1], last)
                entry[2] += count
            elif len(self._seen) < _MAX_NAMES:
                self._seen[name] = [first, last, count]


def encode_observations(seen: dict[str, list[int]]) -> list[dict[str, Any]]:
    """Return the counts in their wire form."""
    return [
        {
            # JSON cannot carry half a surrogate pair, and would spoil the others.
            "guardName": name.encode("utf-8", "replace").decode(),
            "firstSeenMs": first,
            "lastSeenMs": last,
            "checkCount": count,
            "estimatedChecksPerMinute": count * 60000 / max(1000, last - first),
        }
        for name, (first, last, count) in sorted(seen.items())
    ]
