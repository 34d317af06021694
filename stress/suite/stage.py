"""Where a scenario plays: one package, a backend, a folder, and a time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from stress.programs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stress.counting import Counting
    from stress.suite.figures import Figures

STEP_SECONDS = 0.1
TICK_SECONDS = 1.0


class CannotRun(Exception):
    """This machine lacks what the scenario needs; the message says what."""


class Plan(NamedTuple):
    """How large a scenario is played.

    Args:
        seconds: How long it is looked at.
        workers: How many processes it has, unless it needs another number.
    """

    seconds: float
    workers: int


class Stage:
    """What a scenario is given to play with.

    Args:
        package: "ours" or "published".
        plan: How large the scenario is played.
        backend: The backend.
        folder: An empty folder.
        tell: Called now and then while a scenario plays.
    """

    def __init__(
        self,
        package: str,
        plan: Plan,
        backend: Counting,
        folder: Path,
        tell: Callable[[], None],
    ) -> None:
        self.package = package
        self.plan = plan
        self.backend = backend
        self.folder = folder
        self.state_dir = folder / "state"
        self.state_dir.mkdir(mode=0o700)
        self.tallies = folder / "tallies"
        self.tallies.mkdir()
        self.troubles: list[tuple[float, float]] = []
        self.more: dict[str, float] = {}
        self.figures: Optional[Figures] = None
        self._tell = tell

    @property
    def is_ours(self) -> bool:
        """Whether this tree's package plays."""
        return self.package == "ours"

    def settings(self, **more: Any) -> Settings:
        """Return what its programs are told."""
        told: dict[str, Any] = {
            "package": self.package,
            "address": self.backend.address,
            "begun_at": self.backend.begun_at,
            "change_seconds": self.backend.change_seconds,
            "refresh_seconds": self.backend.refresh_seconds,
            "state_dir": str(self.state_dir),
            "tallies": str(self.tallies),
            "workers": self.plan.workers,
        }
        return Settings(**{**told, **more})

    def pause(self, seconds: float) -> None:
        """Let the scenario go on for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._tell()
            time.sleep(min(left, STEP_SECONDS))

    def ticks(self, share: float = 1.0, every: float = TICK_SECONDS) -> Iterator[int]:
        """Yield a number again and again, for a share of the scenario's time."""
        end, number = time.monotonic() + share * self.plan.seconds, 0
        while time.monotonic() + every < end:
            self.pause(every)
            yield number
            number += 1
        self.pause(end - time.monotonic())

    def part(self, share: float) -> None:
        """Let the scenario go on for a share of its time."""
        self.pause(share * self.plan.seconds)

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Note that the block is the trouble, after which all is to be well again."""
        begin = time.monotonic()
        yield
        self.troubles.append((begin, time.monotonic()))
