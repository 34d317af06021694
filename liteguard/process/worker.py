"""A named thread that runs an action again and again, and ends when told to."""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import sys
import threading
import time
from typing import Callable, Optional

from liteguard.process import interrupts
from liteguard.process.logs import Trouble

_PAUSE_AFTER_A_BUG_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_LONGEST_END_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 1e6  # no platform's clock refuses this


class PeriodicWorker:
    """Runs *action* in a daemon thread; the action says when it wants to run next.

    An object is started once. It belongs to the process that started it: after a
    fork a child makes a new one and drops this, unasked and unjoined.

    Args:
        name: Name of the thread.
        action: One round of work; returns the seconds until the next.
        first_delay_seconds: How long to wait before the first round.
    """

    def __init__(
        self,
        name: str,
        action: Callable[[], float],
        *,
        first_delay_seconds: float = 0.0,
    ) -> None:
        self._action = action
        self._first_delay_seconds = first_delay_seconds
        # Held while there is nothing to do. No event: that has a lock of its own, which
        # a signal handler that wakes a worker may find held by what it interrupts.
        self._idle = threading.Lock()
        self._idle.acquire()
        self._is_stopping = False
        self._pause_seconds = _PAUSE_AFTER_A_BUG_SECONDS
        self._bug = Trouble("liteguard: background rounds succeed again")
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; raises RuntimeError where no thread can be started."""
        if threading.get_ident() == threading.main_thread().ident:
            _start_elsewhere(self._thread)
        else:
            self._thread.start()

    def wake(self) -> None:
        """Let the next round begin at once. Never blocks, also in a signal handler."""
        with contextlib.suppress(RuntimeError):  # it is awake already
            self._idle.release()

    def stop(self) -> None:
        """Ask the thread to end after the round it is in. Never blocks."""
        self._is_stopping = True
        self.wake()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread; return whether it has ended.

        A thread that joins itself, from a callback, is told that it has not.
        """
        if self._thread is threading.current_thread():
            return False
        if self._thread.ident is None:
            return True
        deadline = time.monotonic() + timeout_seconds
        try:
            self._thread.join(max(0.0, timeout_seconds))
        except RuntimeError:  # a signal handler raised something while it was starting
            return False
        if self._thread.is_alive():
            return False
        _wait_for_the_kernel(self._thread.native_id, deadline)
        return True

    @property
    def thread_ident(self) -> Optional[int]:
        """The thread's identifier, as `threading.get_ident` tells it there."""
        return self._thread.ident

    @property
    def is_stopping(self) -> bool:
        """Whether the thread has been asked to end."""
        return self._is_stopping

    def _run(self) -> None:
        interrupts.keep_out()
        delay_seconds = self._first_delay_seconds
        while not self._is_stopping:
            self._idle.acquire(
                timeout=min(max(0.0, delay_seconds), _LONGEST_WAIT_SECONDS)
            )
            if not self._is_stopping:
                delay_seconds = self._round()

    def _round(self) -> float:
        started = time.monotonic()
        try:
            delay_seconds = self._action()
        except BaseException as error:
            # Raised by gevent, to end a greenlet that somebody kills.
            if type(error).__name__ == "GreenletExit":
                raise
            return self._after_a_bug(error, time.monotonic() - started)
        self._pause_seconds = _PAUSE_AFTER_A_BUG_SECONDS
        self._bug.end()
        return delay_seconds

    def _after_a_bug(self, error: BaseException, took_seconds: float) -> float:
        """Go on all the same: a thread that ends would freeze what it looks after."""
        self._bug.begin(
            type(error).__name__,
            "liteguard: a background round failed and is tried again, "
            "please report it: %r",
            error,
            level=logging.ERROR,
            error=error,
        )
        pause, doubled = self._pause_seconds, 2.0 * self._pause_seconds
        self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, doubled)
        return max(pause, took_seconds)


def _start_elsewhere(thread: threading.Thread) -> None:
    """Start *thread* in another, where no signal handler runs, and wait until it has.

    Starting takes locks of the threading module, one of them for all threads of the
    process. On 3.14 a handler that raises would leave it held.
    """
    ended = _thread.allocate_lock()
    ended.acquire()
    failures: list[RuntimeError] = []
    native_ids: list[int] = []

    def start() -> None:
        try:
            if interrupts.keep_out():
                native_ids.append(threading.get_native_id())
            thread.start()
        except RuntimeError as error:
            failures.append(error)
        finally:
            ended.release()

    # Asked for by the module: gevent puts its own there.
    _thread.start_new_thread(start, ())
    ended.acquire()
    for native_id in native_ids:
        _wait_for_the_kernel(native_id, time.monotonic() + _LONGEST_END_SECONDS)
    if failures:
        raise failures[0]


def _wait_for_the_kernel(native_id: Optional[int], deadline: float) -> None:
    """Wait until a thread that has ended is gone for the kernel as well.

    From 3.12 on CPython counts the kernel's threads at a fork, and warns of what is
    already over.
    """
    if _FORKS_WARN and native_id is not None:
        task = f"/proc/self/task/{native_id}"
        while os.path.exists(task) and time.monotonic() < deadline:  # noqa: PTH110  quicker
            time.sleep(0)


_FORKS_WARN = sys.platform == "linux" and sys.version_info >= (3, 12)
