"""Taking turns in a way that no signal handler can spoil by what it raises.

The interpreter runs signal handlers after a call has returned. What one raises there,
a lock having been taken and its ``try`` not begun, would leave the lock held for ever.
"""

from __future__ import annotations

import contextlib
import operator
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")


class Busy(Exception):
    """Another thread has the turn, or this one has, in what it was interrupted in."""


class Turn:
    """Something that one thread does at a time. Never waits without a bound."""

    def __init__(self) -> None:
        # One that knows which thread holds it, from the instant of taking on.
        self._lock = threading.RLock()

    def taken(self, timeout_seconds: float = 0.0) -> _Taking:
        """Return a context manager that has the turn for the time of a block.

        Args:
            timeout_seconds: Longest that it blocks.

        Raises:
            Busy: On entering: the turn is not to be had.
        """
        return _Taking(self._lock, timeout_seconds)

    def insist(self, timeout_seconds: float, action: Callable[[], T]) -> T:
        """Call *action* in turn; after *timeout_seconds* call it all the same."""
        with contextlib.suppress(Busy), self.taken(timeout_seconds):
            return action()
        return action()

    def keep(self) -> bool:
        """Take the turn and never give it back; return ``False`` if it is taken."""
        return not _is_owned(self._lock) and _take(self._lock, 0.0)


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


class _Taking:
    __slots__ = ("_lock", "_timeout_seconds")

    def __init__(self, lock: Any, timeout_seconds: float) -> None:
        self._lock = lock
        self._timeout_seconds = timeout_seconds

    def __enter__(self) -> None:
        lock = self._lock
        is_taken = False
        if not _is_owned(lock):
            try:
                is_taken = _take(lock, self._timeout_seconds)
            except BaseException:
                # Raised by a signal handler, perhaps after the lock was taken.
                if _is_owned(lock):
                    lock.release()
                raise
        if not is_taken:
            raise Busy

    if TYPE_CHECKING:

        def __exit__(
            self,
            kind: Optional[type[BaseException]],
            error: Optional[BaseException],
            traceback: Optional[TracebackType],
        ) -> None: ...

    else:
        # The lock's own: before a method in Python a signal handler may run.
        __exit__ = property(operator.attrgetter("_lock.__exit__"))


def _take(lock: Any, timeout_seconds: float) -> bool:
    if timeout_seconds > 0.0:
        return bool(lock.acquire(timeout=timeout_seconds))
    return bool(lock.acquire(blocking=False))


def _is_owned(lock: Any) -> bool:
    return bool(lock._is_owned())  # noqa: SLF001  as threading.Condition asks
