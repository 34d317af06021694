"""Long outages, on a clock that the test moves: how often hosts ask, what they log."""

from __future__ import annotations

import logging
import random
from typing import Callable, Optional

import pytest

from liteguard.errors import TransportError, TransportRejected, TransportTimeout
from liteguard.host.in_force import BundleInForce
from liteguard.host.polls import PollLog
from liteguard.host.refresh import Refresher
from liteguard.transport import BundleAnswer
from stress.fleet.sender import busy_flusher

BUNDLE = BundleAnswer(b'{"guards":[]}', '"v1"')
HOUR = 3600.0
RATE = 60.0
ERRORS: list[Callable[[], TransportError]] = [
    lambda: TransportError("cannot reach it"),
    lambda: TransportTimeout("no answer"),
    *(
        lambda status=status: TransportRejected(str(status), status_code=status)
        for status in (429, 500, 502, 503, 504)
    ),
]


class Clock:
    """A clock that all hosts share."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Outage:
    """A backend that fails for some time, and notes when it is asked.

    Args:
        clock: The hosts' clock.
        fail: Returns the error of a request, or ``None`` where it is answered.
    """

    def __init__(
        self, clock: Clock, fail: Callable[[], Optional[TransportError]]
    ) -> None:
        self._clock = clock
        self._fail = fail
        self.asked_at: list[float] = []

    def __call__(self, etag: str) -> BundleAnswer:
        """Answer a fetch."""
        self.asked_at.append(self._clock())
        error = self._fail()
        if error is not None:
            raise error
        return BundleAnswer(None, etag) if etag else BUNDLE


def new_host(clock: Clock, backend: Outage, seed: int) -> Refresher:
    """Return what refreshes one host, with the package's own pauses."""
    return Refresher(
        fetch=backend,
        bundle=BundleInForce(None, lambda _: None, clock=clock),
        polls=PollLog(None, "", clock=clock),
        lock=None,
        boot_id="",
        refresh_rate_seconds=RATE,
        # As if each looked at its folder when it is due and not every second.
        reload_rate_seconds=2 * HOUR,
        quiet=False,
        clock=clock,
        uniform=random.Random(seed).uniform,  # noqa: S311  pauses are no secret
    )


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Catch what the package logs."""
    caplog.set_level(logging.INFO, logger="liteguard")
    return caplog


NIGHTS: dict[str, Callable[[random.Random], Optional[TransportError]]] = {
    "refused": lambda _: ERRORS[0](),
    "a wrong token": lambda _: TransportRejected("401", status_code=401),
    "failing in every way": lambda chance: chance.choice(ERRORS)(),
    "half of it failing": lambda chance: (
        chance.choice(ERRORS)() if chance.random() < 0.5 else None
    ),
    "busy, and saying until when": lambda chance: TransportRejected(
        "503", status_code=503, retry_after_seconds=chance.uniform(0.0, 600.0)
    ),
}


@pytest.mark.parametrize("night", NIGHTS)
def test_night_with_the_backend_down_is_a_few_lines(
    night: str, lines: pytest.LogCaptureFixture
) -> None:
    """Ten hours of polls and flushes write fewer than 20 lines, and ask seldom."""
    clock, chance = Clock(), random.Random(night)  # noqa: S311  no secret
    backend = Outage(clock, lambda: NIGHTS[night](chance))
    host = new_host(clock, backend, 1)

    def send() -> None:
        error = NIGHTS[night](chance)
        if error is not None:
            raise error

    flusher = busy_flusher(send, clock, chance.uniform, quiet=False)
    end = clock.now + 10 * HOUR
    flush_at = clock.now
    while clock.now < end:
        if host.is_due:
            host.refresh_once()
        if clock.now >= flush_at:
            flush_at = clock.now + flusher.flush_once()
        clock.now += 1.0
    assert 0 < len(lines.records) < 20
    assert len(backend.asked_at) < 2000
