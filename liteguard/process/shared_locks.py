"""Locks in shared memory that the kernel frees when the thread that holds one dies.

They are POSIX's robust mutexes. One belongs to a thread, not to a descriptor: a child
forked while it is held neither keeps nor frees it. Free, it costs no system call.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from liteguard.errors import StateFolderError

if TYPE_CHECKING:
    import mmap

try:
    import ctypes
except ImportError:  # an interpreter built without libffi
    ctypes = None  # type: ignore[assignment]

LOCK_BYTES = 64
"""Room for one lock, on every platform that has them."""

_SPINS = 20
_SHORTEST_SLEEP_US = 20
_LONGEST_SLEEP_US = 100
_SHARED = 1
_ROBUST = 1


class ThreadLocks:
    """A row of locks for the threads of one process, where no more is needed.

    Args:
        count: How many there are.
    """

    def __init__(self, count: int) -> None:
        # They know their owner, so that nobody releases what another thread holds.
        self._locks: list[Any] = [threading.RLock() for _ in range(count)]

    def acquire(self, index: int, wait_seconds: float) -> bool:
        """Take a lock, waiting for *wait_seconds* at most, and never twice."""
        lock = self._locks[index]
        # A signal handler: what it has interrupted holds the lock until it returns.
        is_ours = lock._is_owned()  # noqa: SLF001  as threading.Condition asks
        return not is_ours and bool(lock.acquire(timeout=wait_seconds))

    def release(self, index: int) -> None:
        """Release a lock, if the calling thread holds it."""
        with contextlib.suppress(RuntimeError):
            self._locks[index].release()


def require_locks() -> None:
    """Make sure that there are such locks, before anything is made that needs them.

    Raises:
        StateFolderError: This platform has none.
    """
    _calls()


class _Calls(NamedTuple):
    """The C library's functions; all but *sleep* keep the GIL."""

    # One that let it go might wait long to have it back, with a lock in its hands.
    init: Any
    trylock: Any
    unlock: Any
    consistent: Any
    sleep: Any
    attributes: Any


class SharedLocks:
    """A row of locks in *memory*, shared by whoever maps the same file.

    Args:
        memory: Writable.
        first_at: Where the first lock lies.
        stride: How many bytes further on the next one lies.
        count: How many there are.

    Raises:
        StateFolderError: This platform has no such locks.
    """

    def __init__(
        self, memory: mmap.mmap, *, first_at: int, stride: int, count: int
    ) -> None:
        self._calls = _calls()
        # Keeps the memory where it is for as long as this object lives.
        self._start = ctypes.c_char.from_buffer(memory)
        start = ctypes.addressof(self._start) + first_at
        self._addresses = range(start, start + stride * count, stride)

    def make(self) -> None:
        """Make all locks, in memory that nobody else knows yet."""
        for address in self._addresses:
            _check(self._calls.init(address, self._calls.attributes))

    def acquire(self, index: int, wait_seconds: float) -> bool:
        """Take a lock, waiting for *wait_seconds* at most.

        One whose holder died is taken as if it had been released.

        Raises:
            OSError: This is no lock.
        """
        address = self._addresses[index]
        code = self._calls.trylock(address)
        if code == errno.EBUSY and wait_seconds > 0.0:
            code = self._wait(address, wait_seconds)
        if code == errno.EBUSY:
            return False
        if code == errno.EOWNERDEAD:
            code = self._calls.consistent(address)
        _check(code)
        return True

    def release(self, index: int) -> None:
        """Release a lock, if the calling thread holds it."""
        self._calls.unlock(self._addresses[index])

    def _wait(self, address: int, wait_seconds: float) -> int:
        code = self._spin(address)
        # Not pthread_mutex_timedlock: its deadline follows the wall clock.
        deadline = time.monotonic() + wait_seconds
        pause_us = _SHORTEST_SLEEP_US
        while code == errno.EBUSY and time.monotonic() < deadline:
            self._calls.sleep(pause_us)
            pause_us = min(2 * pause_us, _LONGEST_SLEEP_US)
            code = self._spin(address)
        return code

    def _spin(self, address: int) -> int:
        """Try for about as long as a holder that runs needs."""
        trylock = self._calls.trylock
        code = errno.EBUSY
        for _ in range(_SPINS):
            code = trylock(address)
            if code != errno.EBUSY:
                break
        return int(code)


def _check(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


@cache
def _calls() -> _Calls:
    """Return the functions, once it is certain that they work here."""
    if ctypes is None:
        raise StateFolderError("this Python has no ctypes")
    try:
        keeping, releasing = ctypes.PyDLL(None), ctypes.CDLL(None)
        attributes = ctypes.create_string_buffer(LOCK_BYTES)
        _check(keeping.pthread_mutexattr_init(attributes))
        _check(keeping.pthread_mutexattr_setpshared(attributes, _SHARED))
        _check(keeping.pthread_mutexattr_setrobust(attributes, _ROBUST))
        calls = _Calls(
            keeping.pthread_mutex_init,
            keeping.pthread_mutex_trylock,
            keeping.pthread_mutex_unlock,
            keeping.pthread_mutex_consistent,
            releasing.usleep,
            attributes,
        )
    except (AttributeError, OSError, TypeError) as error:
        message = f"this platform has no locks that outlive their holder: {error}"
        raise StateFolderError(message) from error
    calls.init.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    for call in (calls.trylock, calls.unlock, calls.consistent):
        call.argtypes = [ctypes.c_void_p]
    return calls
