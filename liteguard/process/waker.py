"""The one thing that a fork hook starts in a child: a call a little later.

A plain thread without a `threading.Thread`: cheap enough for a hook, and the same kind
of thread from beginning to end, also where gevent patches the process in between.
"""

from __future__ import annotations

import _thread
import sys
from _thread import allocate_lock, start_new_thread
from typing import Callable

from liteguard.process.interrupts import keep_out


class Waker:
    """Calls *action* once, after *delay_seconds*, unless it is cancelled before.

    Args:
        action: Must not raise.
        delay_seconds: How long to wait.
    """

    def __init__(self, action: Callable[[], None], delay_seconds: float) -> None:
        self._action = action
        self._delay_seconds = delay_seconds
        self._cancelled = allocate_lock()
        self._ended = allocate_lock()
        self._cancelled.acquire()

    def start(self) -> None:
        """Start waiting; raises RuntimeError where no thread can be started."""
        self._ended.acquire()
        start_new_thread(self._run, ())

    def cancel(self, timeout_seconds: float) -> None:
        """Stop waiting, and wait for the thread to end. Called once."""
        self._cancelled.release()
        self._ended.acquire(timeout=timeout_seconds)

    def _run(self) -> None:
        keep_out()
        try:
            if not self._cancelled.acquire(timeout=self._delay_seconds):
                self._action()
        finally:
            self._ended.release()


def is_patched_since() -> bool:
    """Whether threads have been replaced, as gevent does, since this was imported.

    Threads started now by a plain thread would be greenlets of a hub that nobody runs.
    """
    return _thread.start_new_thread is not start_new_thread


def may_be_patched_soon() -> bool:
    """Whether gevent is there and has not patched threads: gunicorn's worker will."""
    return "gevent" in sys.modules and not is_patched_since()
