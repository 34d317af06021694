"""Waiting: in small steps, so that a signal or the end of a process is noticed."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

T = TypeVar("T")

STEP_SECONDS = 0.02
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """The demo cannot go on; the message says why, for the user."""


class Interrupted(Exception):
    """A signal asked the demo to end.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by signal {number}")
        self.number = number


class Patience:
    """Every wait of the demo's main thread.

    A signal is only noted, and raised by the wait that it falls into or by the next:
    so it never comes between starting a process and remembering to end it, and
    cleaning up is not disturbed.
    """

    def __init__(self) -> None:
        self._is_interrupted = threading.Event()
        self._number = 0
        self._checks: list[Callable[[], None]] = []

    def watch(self, check: Callable[[], None]) -> None:
        """Call *check* in each step of each wait; it raises if waiting is in vain."""
        self._checks.append(check)

    def pause(self, seconds: float) -> None:
        """Wait for *seconds*.

        Raises:
            Interrupted: A signal came.
            DemoError: What is watched has failed.
        """
        deadline = time.monotonic() + seconds
        self._step(0)
        while (left := deadline - time.monotonic()) > 0:
            self._step(min(left, STEP_SECONDS))

    def until(
        self, what: str, condition: Callable[[], Optional[T]], seconds: float
    ) -> T:
        """Wait until *condition* returns something true, and return that.

        Args:
            what: What is waited for, for the message.
            condition: Called in each step.
            seconds: The longest wait.

        Raises:
            Interrupted: A signal came.
            DemoError: What is watched has failed, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise DemoError(f"waited {seconds:g} s in vain: {what}")
            self._step(STEP_SECONDS)
        return found

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Note signals for as long as the block runs, unless they are ignored."""
        heeded = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._note) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _: Optional[FrameType]) -> None:
        self._number = number
        self._is_interrupted.set()

    def _step(self, seconds: float) -> None:
        if self._is_interrupted.wait(seconds):
            raise Interrupted(self._number)
        for check in self._checks:
            check()
