"""Locks that no signal handler leaves held by what it raises.

The interpreter runs signal handlers after calls, on 3.14 also between a lock's taking
and its ``with`` block, on 3.9 also between the block and the giving back. What one
raises there would leave the lock held for ever. So a lock is taken and given back
within one ``try``, in `_hold` alone, and what is to be done with it comes as a call.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import Any, Callable, Optional, TypeVar, cast

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])


class Busy(Exception):
    """Another thread has the turn, or this one has, in what it was interrupted in."""


class Turn:
    """Something that one thread does at a time. Never waits without a bound."""

    def __init__(self) -> None:
        # One that knows which thread holds it, from the instant of taking on.
        self._lock: Any = threading.RLock()

    def call(self, action: Callable[[], T], timeout_seconds: float = 0.0) -> T:
        """Call *action* in turn, and return what it returns.

        Args:
            action: What one thread does at a time.
            timeout_seconds: Longest that it waits for the turn.

        Raises:
            Busy: The turn is not to be had, and *action* was not called.
        """
        if self._is_mine:
            raise Busy
        return _hold(self._lock, timeout_seconds, action)

    def insist(self, timeout_seconds: float, action: Callable[[], T]) -> T:
        """Call *action* in turn; after *timeout_seconds* call it all the same."""
        with contextlib.suppress(Busy):
            return self.call(action, timeout_seconds)
        return action()

    def keep(self, timeout_seconds: float = 0.0) -> bool:
        """Take the turn and never give it back; return ``False`` if it is taken."""
        return not self._is_mine and _take(self._lock, timeout_seconds)

    @property
    def _is_mine(self) -> bool:
        return bool(self._lock._is_owned())  # noqa: SLF001  as threading.Condition asks


class Latch:
    """Closed until somebody opens it. `threading.Event` has a lock to be left held."""

    def __init__(self) -> None:
        self._closed = threading.Lock()
        self._closed.acquire()

    def open(self) -> None:
        """Let everybody go on who waits. Never blocks."""
        with contextlib.suppress(RuntimeError):  # it is open already
            self._closed.release()

    def wait(self, timeout_seconds: float) -> None:
        """Block until it is opened, for *timeout_seconds* at most."""
        if self._closed.acquire(timeout=timeout_seconds):
            self.open()


def locked(method: Method) -> Method:
    """Let one thread at a time run *method*, and all others so marked of its object.

    The object has a reentrant lock, ``_lock``: a signal handler, or a finalizer, may
    call such a method in the middle of another. For a few instructions only: who comes
    second waits without a bound. Arguments are passed by position, for speed.
    """

    @functools.wraps(method)
    def call(self: Any, *arguments: Any) -> Any:
        lock = self._lock
        if lock._is_owned():  # noqa: SLF001  as threading.Condition asks
            return method(self, *arguments)
        return _hold(lock, None, method, self, *arguments)

    return cast("Method", call)


def _hold(
    lock: Any,
    timeout_seconds: Optional[float],
    action: Callable[..., T],
    *arguments: Any,
) -> T:
    """Call *action* with *lock* held, which this thread does not hold yet."""
    try:
        if timeout_seconds is None:
            lock.acquire()
        elif not _take(lock, timeout_seconds):
            raise Busy  # noqa: TRY301  as whatever else is raised here
        result = action(*arguments)
        lock.release()
    except BaseException:
        # At once, and not if the lock is owned: a call to ask would be another moment
        # for a handler.
        try:  # noqa: SIM105  suppress() would be two
            lock.release()
        except RuntimeError:  # it was not taken, or is given back
            pass
        raise
    return result


def _take(lock: Any, timeout_seconds: float) -> bool:
    if timeout_seconds > 0.0:
        return bool(lock.acquire(timeout=timeout_seconds))
    # Not with a timeout of nothing, for which gevent would let others run.
    return bool(lock.acquire(blocking=False))
