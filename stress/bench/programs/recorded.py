"""This tree's package, whose checks are journalled, or appended to a deque in memory.

``recorded.py ADDRESS FOLDER journal|deque idle|saturated``
"""

from __future__ import annotations

import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from flags import SUBJECT
from measuring import serve

from liteguard import LiteguardClient
from liteguard.telemetry import journals
from liteguard.telemetry.journal import Journal

MORE = {"country": "fr", "items": 3}
address, folder, kind, flush = sys.argv[1:]


class InMemory(Journal):
    """Keeps the same fields in a deque of the same length, and does all else alike."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._records: deque[tuple[Any, ...]] = deque(maxlen=self.file.capacity)

    def append(
        self,
        seconds: float,
        site: int,
        properties: int,
        readings: int,
        details: object = None,
    ) -> int:
        """Append a record."""
        if self._is_sealing:
            return 0
        number = next(self._numbers)
        self._records.append((number, seconds, site, properties, readings, details))
        if self._is_sealing:
            return self._counts(number)
        if not number % self._flush_size:
            self._on_many()
        return number

    def repeat(self, seconds: float, site: int, properties: int) -> int:
        """Append a record of a check that comes again."""
        if self._is_sealing or not self.readings_from <= seconds < self.readings_until:
            return 0
        number = next(self._numbers)
        self._records.append((number, seconds, site, properties, self.readings))
        if self._is_sealing:
            return self._counts(number)
        if not number % self._flush_size:
            self._on_many()
        return number


if kind == "deque":
    journals.Journal = InMemory  # type: ignore[misc]  # the very point
client = LiteguardClient(
    "benchmark",
    environment="benchmark",
    backend_url=address,
    state_dir=tempfile.mkdtemp(dir=folder),
    flush_rate_seconds=3600,
)
client.start(strict=True)
if flush == "idle":
    # Before the first check, with which the journal is made.
    client._lifecycle._revival.runtime.recorder.journals._on_many = int  # noqa: SLF001
scope = client.create_scope(**SUBJECT)
serve(
    {
        "one scope": (lambda: scope.is_open("one"), True),
        "new scope": (lambda: client.create_scope(SUBJECT).is_open("one"), True),
        "per call": (lambda: scope.is_open("one", properties=MORE), True),
    }
)
client.shutdown()
