"""A simulated process, as far as it sends: the package's own flusher."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Callable, Optional

from liteguard.telemetry.flush import Flusher
from liteguard.telemetry.unadopted import UnadoptedCounts
from stress.fleet.lives import (
    RATE_SECONDS,
    SHORTEST_PAUSE_SECONDS,
    START_SECONDS,
    Draw,
)

if TYPE_CHECKING:
    from stress.fleet.loop import Loop

_SHUTDOWN_SECONDS = 4.0


def busy_flusher(
    send: Callable[[], None],
    clock: Callable[[], float],
    draw: Draw,
    *,
    quiet: bool = True,
) -> Flusher:
    """Return a flusher that has something to send at each flush, in one request.

    Args:
        send: Called instead of a request; raises what a transport raises.
        clock: Monotonic seconds.
        draw: Draws between two numbers.
        quiet: Do not log that *send* fails.
    """
    unadopted = UnadoptedCounts()

    def send_and_go_on(*_: object, **__: object) -> None:
        unadopted.count("some.guard", 0.0)
        send()

    unadopted.count("some.guard", 0.0)
    journals = types.SimpleNamespace(
        files=list, forget_delivered=lambda: None, try_disk_again=lambda: None
    )
    recorder: Any = types.SimpleNamespace(
        journals=journals, drain=lambda: None, buffered=0
    )
    transport: Any = types.SimpleNamespace(send_observations=send_and_go_on)
    return Flusher(
        transport=transport,
        recorder=recorder,
        unadopted=unadopted,
        adopter=None,
        is_leading=lambda: False,
        flush_rate_seconds=RATE_SECONDS,
        quiet=quiet,
        clock=clock,
        uniform=draw,
    )


class Sender:
    """One process, and the one that takes its place after a restart.

    Args:
        send: Called instead of a request.
        loop: The clock.
        draw: Draws between two numbers.
    """

    def __init__(self, send: Callable[[], None], loop: Loop, draw: Draw) -> None:
        self._send = send
        self._loop = loop
        self._draw = draw
        self._flusher: Optional[Flusher] = None

    def start(self) -> None:
        """Start the process, which flushes within an interval."""
        self._flusher = flusher = busy_flusher(self._send, self._loop, self._draw)
        self._loop.at(
            self._loop() + flusher.first_pause(), lambda: self._round(flusher)
        )

    def restart(self) -> None:
        """End as a process does that is told to, by a last flush, and start anew."""
        if self._flusher is not None:
            self._flusher.flush_until(self._loop() + _SHUTDOWN_SECONDS)
        self._flusher = None
        self._loop.at(self._loop() + START_SECONDS, self.start)

    def _round(self, flusher: Flusher) -> Optional[float]:
        if flusher is not self._flusher:
            return None
        return max(SHORTEST_PAUSE_SECONDS, flusher.flush_once())
