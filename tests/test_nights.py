"""Long outages, on a clock that the test moves: how often hosts ask, what they log."""

from __future__ import annotations

import heapq
import logging
import random
import types
from collections import Counter
from typing import TYPE_CHECKING, Any, Callable, Optional

import pytest

from liteguard.errors import TransportError, TransportRejected, TransportTimeout
from liteguard.host.in_force import BundleInForce
from liteguard.host.polls import PollLog
from liteguard.host.refresh import Refresher
from liteguard.telemetry import flush as flush_module
from liteguard.telemetry.flush import Flusher
from liteguard.telemetry.unadopted import UnadoptedCounts
from liteguard.transport import BundleAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator


BUNDLE = BundleAnswer(b'{"guards":[]}', '"v1"')
HOUR = 3600.0
HOSTS = 1000
RATE = 60.0
# What 1,000 hosts ask in a second when all is well, with room for chance.
USUAL = HOSTS / RATE * 3.0
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

    def in_each_second(self, begin: float, end: float) -> list[int]:
        """Return how many requests came in each second that had some."""
        seconds = Counter(int(at) for at in self.asked_at if begin <= at < end)
        return list(seconds.values())


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


def run(clock: Clock, seconds: float, hosts: list[Refresher], spread: float) -> None:
    """Let *hosts* do their rounds, having begun within *spread* seconds."""
    begin, draw = clock.now, random.Random(4711)  # noqa: S311  no secret
    queue = [(begin + draw.uniform(0.0, spread), n) for n in range(len(hosts))]
    heapq.heapify(queue)
    while queue[0][0] < begin + seconds:
        clock.now, number = queue[0]
        pause = hosts[number].refresh_once()
        heapq.heapreplace(queue, (clock.now + max(pause, 0.001), number))
    clock.now = begin + seconds


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Catch what the package logs."""
    caplog.set_level(logging.INFO, logger="liteguard")
    return caplog


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return a clock, which the flush looks at as well."""
    clock = Clock()
    fake = types.SimpleNamespace(
        monotonic=clock, thread_time=lambda: 0.0, sleep=lambda _: None
    )
    monkeypatch.setattr(flush_module, "time", fake)
    return clock


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
    night: str, clock: Clock, lines: pytest.LogCaptureFixture
) -> None:
    """Ten hours of polls and flushes write fewer than 20 lines, and ask seldom."""
    chance = random.Random(night)  # noqa: S311  no secret
    backend = Outage(clock, lambda: NIGHTS[night](chance))
    host = new_host(clock, backend, 1)
    flusher = failing_flusher(lambda: NIGHTS[night](chance))
    flusher._trouble._clock = clock
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


def failing_flusher(fail: Callable[[], Optional[TransportError]]) -> Flusher:
    """Return a flusher that always has something to send, which may fail."""
    journals = types.SimpleNamespace(files=list, forget_delivered=lambda: None)
    recorder: Any = types.SimpleNamespace(
        journals=journals, drain=lambda: None, buffered=0
    )
    unadopted = UnadoptedCounts()

    def send(*_: object, **__: object) -> None:
        unadopted.count("some.guard", 0.0)
        error = fail()
        if error is not None:
            raise error

    unadopted.count("some.guard", 0.0)
    transport: Any = types.SimpleNamespace(send_observations=send, send_signals=send)
    return Flusher(
        transport=transport,
        recorder=recorder,
        unadopted=unadopted,
        adopter=None,
        is_leading=lambda: True,
        flush_rate_seconds=RATE,
        quiet=False,
    )


@pytest.fixture
def silence() -> Iterator[None]:
    """Log nothing of a thousand hosts."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("silence")
def test_thousand_hosts_do_not_return_in_one_herd() -> None:
    """After an outage no second has more requests than a usual one."""
    clock = Clock()
    down = [False]
    backend = Outage(clock, lambda: ERRORS[0]() if down[0] else None)
    hosts = [new_host(clock, backend, seed) for seed in range(HOSTS)]
    run(clock, 300.0, hosts, RATE)
    assert max(backend.in_each_second(clock.now - 120.0, clock.now)) < USUAL
    down[0] = True
    began = clock.now
    run(clock, 1800.0, hosts, 0.0)
    # The backend is asked less than usual while it is down.
    assert len(backend.in_each_second(began + 300.0, clock.now)) > 1000
    assert sum(backend.in_each_second(began + 300.0, clock.now)) < HOSTS * 1500 / RATE
    down[0] = False
    back = clock.now
    run(clock, 3 * RATE, hosts, 0.0)
    assert max(backend.in_each_second(back, clock.now)) < USUAL
    assert all(host.last_error is None for host in hosts)


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("asked", ["the same moment", "the same pause"])
def test_hosts_that_are_told_when_to_return_spread(asked: str) -> None:
    """A date that is the same for all hosts does not gather them at that moment."""
    clock = Clock()
    until = clock.now + 900.0

    def fail() -> Optional[TransportError]:
        if clock.now >= until:
            return None
        pause = until - clock.now if asked == "the same moment" else 300.0
        return TransportRejected("503", status_code=503, retry_after_seconds=pause)

    backend = Outage(clock, fail)
    hosts = [new_host(clock, backend, seed) for seed in range(HOSTS)]
    run(clock, 1500.0, hosts, 1.0)
    assert max(backend.in_each_second(until, clock.now)) < USUAL
    assert all(host.last_error is None for host in hosts)
