"""Looks at the processes of a scenario from outside while it runs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from stress.programs.tally import UNKNOWN
from stress.suite.processes import Usage, state, usage
from stress.suite.tallies import Tallies

if TYPE_CHECKING:
    from pathlib import Path

    from stress.counting import Counting
    from stress.programs.tally import Told

SAMPLE_SECONDS = 0.1
USAGE_EVERY = 5
HANG_SECONDS = 5.0


class Sample(NamedTuple):
    """How old the bundle was of the process with the oldest.

    Args:
        at: When, in monotonic seconds.
        staleness: Seconds since the next generation was there, or 0.
    """

    at: float
    staleness: float


class Sampler:
    """Takes samples in a thread of its own while the block runs.

    Args:
        folder: The tallies.
        backend: The backend, which knows when each generation began.
        loops: Whether each process looks all the time, so that one that has not looked
            for long hangs, unless it is stopped.
    """

    def __init__(self, folder: Path, backend: Counting, *, loops: bool) -> None:
        self.tallies = Tallies(folder)
        self.samples: list[Sample] = []
        self.usages: list[Usage] = []
        self.hung: set[int] = set()
        self.most = 0
        """Most processes that there were at a time."""
        self._backend = backend
        self._loops = loops
        self._begun_at = time.monotonic_ns()
        self._seen_at: dict[int, int] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._ending.wait(SAMPLE_SECONDS):
            told = self.tallies.look()
            self._sample(told)
            if number % USAGE_EVERY == 0:
                self._use(told)
                self._find_hung(told)
            number += 1

    def _sample(self, told: list[Told]) -> None:
        looked = [one for one in told if one.looked_at > self._last_seen(one)]
        self._seen_at.update((one.pid, one.looked_at) for one in looked)
        if looked:
            slowest = max(map(self._staleness, looked))
            self.samples.append(Sample(time.monotonic(), slowest))

    def _last_seen(self, told: Told) -> int:
        return self._seen_at.get(told.pid, self._begun_at)

    def _staleness(self, told: Told) -> float:
        next_one = max(told.known, UNKNOWN) + 1
        next_at = self._backend.begun_at + next_one * self._backend.change_seconds
        return max(0.0, told.looked_at / 1e9 - next_at)

    def _use(self, told: list[Told]) -> None:
        found = [found for one in told if (found := usage(one.pid))]
        self.most = max(self.most, len(found))
        if found:
            self.usages.append(Usage(*map(max, zip(*found))))

    def _find_hung(self, told: list[Told]) -> None:
        earliest = time.monotonic_ns() - HANG_SECONDS * 1e9
        for one in told if self._loops else ():
            is_late = max(one.born_at, one.looked_at) < earliest
            if is_late and state(one.pid) not in ("", "T", "t"):
                self.hung.add(one.pid)
