"""Requests to the application, as many at once as it has workers."""

from __future__ import annotations

import math
import threading
import time
from typing import Callable, Optional

from liteguard.demo.answers import Answer
from liteguard.demo.calls import CallError, call

_MAX_PER_SECOND = 50.0
_SHORTEST_PERIOD_SECONDS = 0.1


def usual_period(workers: int) -> float:
    """Return the seconds between two bursts that the machine can bear with ease."""
    return max(_SHORTEST_PERIOD_SECONDS, workers / _MAX_PER_SECOND)


class Traffic:
    """Sends bursts of requests to ``/check``, one for each worker, while in force.

    The kernel gives a connection to any worker that is idle. A burst keeps all of them
    busy at the same moment, so each gets its share.

    Args:
        address: Host and port of the application.
        burst: How many requests are sent at once.
        period_seconds: Between two bursts.
        on_answer: Called for each answer, in one of the threads.
        on_cut_off: Called for each request that may have been acted on and got no
            answer, in one of the threads.
    """

    def __init__(
        self,
        address: str,
        *,
        burst: int,
        period_seconds: float,
        on_answer: Callable[[Answer], None],
        on_cut_off: Callable[[], None],
    ) -> None:
        self._address = address
        self._period_seconds = period_seconds
        self._on_answer = on_answer
        self._on_cut_off = on_cut_off
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._send_on_each_beat, daemon=True)
            for _ in range(burst)
        ]

    def __enter__(self) -> Traffic:
        """Start sending."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, error: Optional[type[BaseException]], *_: object) -> None:
        """Stop sending.

        Blocks until the last request is answered or cut off, unless an error makes
        that irrelevant.
        """
        self._is_over.set()
        for thread in self._threads if error is None else []:
            thread.join()

    def seconds_to_burst(self) -> float:
        """Return how long it is until the next burst."""
        now = time.monotonic()
        return math.ceil(now / self._period_seconds) * self._period_seconds - now

    def _send_on_each_beat(self) -> None:
        while not self._is_over.wait(self.seconds_to_burst()):
            self._send()

    def _send(self) -> None:
        sent_at = time.monotonic()
        try:
            found = call(self._address, "GET", "/check")
        except CallError as error:
            if error.was_sent:
                self._on_cut_off()
            return
        answer = Answer(
            pid=found["pid"],
            is_open=found["answer"],
            number=found["checks"],
            role=found["role"],
            generation=found["generation"],
            bundle_age_seconds=found["bundleAgeSeconds"],
            sent_at=sent_at,
            received_at=time.monotonic(),
        )
        self._on_answer(answer)
