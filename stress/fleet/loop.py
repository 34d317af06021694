"""A simulated clock, and the order in which things happen on it."""

from __future__ import annotations

import heapq
import itertools
from typing import Callable, Optional

Action = Callable[[], Optional[float]]


class Loop:
    """Runs actions at their moments; called, it tells the time, as a clock does.

    Time passes between actions only, so an action takes none.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Action]] = []

    def __call__(self) -> float:
        """Return the seconds since the beginning."""
        return self._now

    def at(self, moment: float, action: Action) -> None:
        """Run *action* at *moment*, and again after as many seconds as it returns.

        Args:
            moment: Seconds since the beginning, not before now.
            action: Returns ``None`` to end.
        """
        if moment < self._now:
            raise ValueError(f"{moment} s is over: it is {self._now} s")
        heapq.heappush(self._queue, (moment, next(self._order), action))

    def run(self, until: float) -> None:
        """Let happen what happens before *until*, in seconds since the beginning."""
        queue = self._queue
        while queue and queue[0][0] < until:
            self._now, _, action = queue[0]
            pause = action()
            # Still the first: what the action has added is no earlier.
            if pause is None:
                heapq.heappop(queue)
            else:
                heapq.heapreplace(queue, (self._now + pause, next(self._order), action))
        self._now = until
