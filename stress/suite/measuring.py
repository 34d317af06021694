"""From a host that runs to figures: what was counted at both ends, put together."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional, Protocol

from stress.suite.figures import Figures
from stress.suite.processes import processor_seconds
from stress.suite.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from stress.suite.stage import Stage

_REPORTS = ("please report", "Traceback (most recent call last)")
_LOG_CHARACTERS = 4000
_PATIENCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.1
_ON_ITS_WAY_SECONDS = 1.0


class Host(Protocol):
    """What a scenario runs: processes that check, however they are started."""

    loops: bool
    """Whether each of its processes looks all the time."""
    hangs: int
    """Of which it knows when it has ended."""
    deaths: int

    @property
    def pid(self) -> int:
        """The process that was started, in a session of its own."""

    def __enter__(self) -> object:
        """Start, and wait until it is ready."""

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """End everything."""

    def log(self) -> str:
        """Return what its processes have written."""


@contextmanager
def measured(stage: Stage, host: Host) -> Iterator[None]:
    """Run the host while the block runs, and leave its figures with the stage."""
    backend, busy = stage.backend, os.getloadavg()[0] / (os.cpu_count() or 1)
    with host:
        polls, begun = backend.account()["polls"], time.monotonic()
        used = processor_seconds(host.pid)
        with Sampler(stage.tallies, backend, loops=host.loops) as sampler:
            yield
        seconds = time.monotonic() - begun
        used = processor_seconds(host.pid) - used
        polls = backend.account()["polls"] - polls
    _settle(stage)
    account, told = backend.account(), sampler.tallies.all()
    stage.figures = Figures(
        seconds=seconds,
        refresh_seconds=backend.refresh_seconds,
        processes=sampler.most,
        polls=polls,
        samples=sampler.samples,
        troubles=stage.troubles,
        begun=sum(one.begun for one in told),
        made=sum(one.made for one in told),
        delivered=account["delivered"],
        dropped=account["dropped"],
        again=account["again"],
        wrong=sum(one.wrong for one in told),
        hangs=max(host.hangs, len(sampler.hung)),  # they may be the same
        deaths=host.deaths,
        reports=sum(host.log().count(text) for text in _REPORTS),
        longest_check_ms=max((one.longest_ns for one in told), default=0) / 1e6,
        processors=used / seconds,
        usages=sampler.usages,
        busy=busy,
        log=host.log()[-_LOG_CHARACTERS:],
        more=stage.more,
    )


def _settle(stage: Stage) -> None:
    """Let what is left be delivered: here by the host's next process."""
    stage.backend.behave("healthy")
    if stage.is_ours:
        _deliver_the_rest(stage)
    else:
        time.sleep(_ON_ITS_WAY_SECONDS)


def _deliver_the_rest(stage: Stage) -> None:
    from liteguard import LiteguardClient  # noqa: PLC0415  only one side needs it

    deadline = time.monotonic() + _PATIENCE_SECONDS
    with LiteguardClient(
        "stress", backend_url=stage.backend.address, state_dir=str(stage.state_dir)
    ) as client:
        while time.monotonic() < deadline:
            is_sent = client.flush_signals(timeout=deadline - time.monotonic())
            left = list(stage.state_dir.glob("*/journals-*/*"))
            if is_sent and len(left) <= 1:  # its own
                return
            time.sleep(_PAUSE_SECONDS)
