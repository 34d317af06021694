"""Which runtime a process has, when two threads decide about it at once."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Callable, NoReturn, Optional, cast

import pytest

from liteguard.process.turns import Busy, Turn
from liteguard.revival import Revival

if TYPE_CHECKING:
    from liteguard.runtime import Runtime


class Stand:
    """Stands for a runtime, and lets a test act just when its threads have started.

    Args:
        at_start: What another thread does then, one taken out at each start.
    """

    def __init__(self, at_start: list[Callable[[], None]]) -> None:
        self.pid = os.getpid()
        self.has_run = True
        self.is_running = False
        self.succeeded: Optional[Stand] = None
        self._at_start = at_start

    def look(self) -> None:
        """Do nothing."""

    def start_threads(self) -> None:
        """Count as running, and let the other thread act."""
        self.is_running = True
        while self._at_start:
            other = threading.Thread(target=self._at_start.pop())
            other.start()
            other.join()

    def park(self, _: float) -> None:
        """Count as not running."""
        self.is_running = False

    def succeed(self, earlier: Stand) -> None:
        """Remember whom it succeeds."""
        self.succeeded = earlier


@pytest.mark.parametrize("act", ["replace", "park"])
def test_revival_that_was_overtaken_is_done_again(act: str) -> None:
    """Whoever cannot wait for a revival makes the next check revive once more."""
    made: list[Stand] = []

    def make() -> Runtime:
        made.append(Stand(overtaking))
        return cast("Runtime", made[-1])

    revival = Revival(make=make, adopt=lambda _: None)
    overtaking: list[Callable[[], None]] = [getattr(revival, act)]
    revival.want(1.0)
    revival.revive()
    assert revival.flag[0] == 0
    revival.revive()
    assert (revival.flag[0], made[-1].is_running) == (1, True)
    assert revival.runtime is cast("Runtime", made[-1])
    assert made[-1].succeeded is (made[0] if act == "replace" else None)
    revival.unwant(1.0)


def test_first_check_of_a_child_awaits_the_look_that_is_under_way() -> None:
    """It is not answered from what the parent had when another thread looks by now."""
    seen: list[bool] = []
    has_looked = threading.Event()
    has_answered = threading.Event()

    class Looking(Stand):
        """Stands for a runtime whose look takes a moment."""

        def look(self) -> None:
            # Over at once if the other thread went on without it.
            other.start()
            has_answered.wait(0.05)
            has_looked.set()

    def check() -> None:
        revival.revive()
        seen.append(has_looked.is_set())
        has_answered.set()

    other = threading.Thread(target=check)
    revival = Revival(make=lambda: cast("Runtime", Looking([])), adopt=lambda _: None)
    revival.want(1.0)
    revival.revive()
    other.join()
    assert seen == [True]
    revival.unwant(1.0)


def test_later_checks_wait_for_nobody() -> None:
    """A process that has looked goes on with what is in force."""
    revival = Revival(make=lambda: cast("Runtime", Stand([])), adopt=lambda _: None)
    revival.want(1.0)
    revival.revive()
    revival.flag[0] = 0
    waited: list[float] = []

    class Held(Turn):
        """A turn that another thread keeps."""

        def call(self, action: object, timeout_seconds: float = 0.0) -> NoReturn:
            del action
            waited.append(timeout_seconds)
            raise Busy

    revival._turns[os.getpid()] = Held()
    revival.revive()
    assert waited == [0.0]
    revival._looked_in = 0
    revival.revive()
    revival.revive()
    assert waited == [0.0, 0.1, 0.0]
    revival._turns.clear()
    revival.unwant(1.0)
