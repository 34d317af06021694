"""Who is there: the last answer of each worker, and what became of it."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from liteguard.demo.answers import Answer

SILENCE_SECONDS = 3.0
"""After this long without an answer a worker is shown as gone."""

FORGET_SECONDS = 10.0
"""After this long it is not shown any more, unless the demo itself killed it."""

KILLED = "killed"
GONE = "gone"


class Row(NamedTuple):
    """One line of the table.

    Args:
        pid: The worker.
        role: Its role, or what became of it.
        generation: Of the bundle in force there.
        is_open: Its last answer.
        checks: How many checks it has made.
        age_seconds: Since the backend last confirmed its bundle; ``None`` if unknown or
            the worker is no more.
    """

    pid: int
    role: str
    generation: int
    is_open: bool
    checks: int
    age_seconds: Optional[float]


class Roster:
    """The last answer of each worker, in the order of appearance. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all of these
        self._last: dict[int, Answer] = {}
        self._killed: set[int] = set()
        self._asked_since = -math.inf
        self._asked_until = math.inf

    def see(self, answer: Answer) -> None:
        """Take note of an answer, unless a newer one of that worker is known."""
        with self._lock:
            last = self._last.get(answer.pid)
            if last is None or last.number < answer.number:
                self._last[answer.pid] = answer

    def bury(self, pid: int) -> None:
        """Take note that a worker was killed."""
        with self._lock:
            self._killed.add(pid)

    def rest(self, now: float) -> None:
        """Take note that nobody is asked from now on: then silence means nothing.

        Args:
            now: Monotonic seconds.
        """
        with self._lock:
            self._asked_until = now

    def go_on(self, now: float) -> None:
        """Take note that all are asked again from now on.

        Args:
            now: Monotonic seconds.
        """
        with self._lock:
            self._asked_since, self._asked_until = now, math.inf

    def living(self) -> list[Answer]:
        """Return the last answers of the workers that were not killed."""
        with self._lock:
            return [a for pid, a in self._last.items() if pid not in self._killed]

    def leader(self) -> int:
        """Return the living leader's pid, or 0 if none is known."""
        return next((a.pid for a in self.living() if a.role == "leader"), 0)

    def rows(self, now: float) -> list[Row]:
        """Return the table; while nobody is asked, as it was when that began.

        Args:
            now: Monotonic seconds.
        """
        with self._lock:
            now = min(now, self._asked_until)
            return [
                self._row(answer, now)
                for pid, answer in self._last.items()
                if pid in self._killed or self._silence(answer, now) < FORGET_SECONDS
            ]

    def _silence(self, answer: Answer, now: float) -> float:
        return now - max(answer.received_at, self._asked_since)

    def _row(self, answer: Answer, now: float) -> Row:
        role, age = answer.role, answer.bundle_age_seconds
        if answer.pid in self._killed:
            role, age = KILLED, None
        elif self._silence(answer, now) > SILENCE_SECONDS:
            role, age = GONE, None
        return Row(
            pid=answer.pid,
            role=role,
            generation=answer.generation,
            is_open=answer.is_open,
            checks=answer.number,
            age_seconds=None if age is None else age + now - answer.received_at,
        )
