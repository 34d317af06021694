"""Which process of the host leads: an advisory lock that the kernel frees on death."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

import filelock

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.process.identity import ProcessIdentity

if hasattr(filelock, "lock_descriptor"):

    def _try_lock(descriptor: int) -> bool:
        return filelock.lock_descriptor(descriptor, blocking=False)

else:  # filelock below 3.30, all that Python 3.9 can install
    with contextlib.suppress(ImportError):  # Windows: nothing there is shared
        import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class LeaderLock:
    """The right to ask the backend, held by at most one process of the host.

    The descriptor is our own, not filelock's: a lock belongs to the open file, which
    a fork shares, so a child must close its copy without unlocking it. Used by the
    refresh thread, and by whoever forks or shuts down.

    Args:
        path: The lock file. Never deleted: two processes would lead.
        identity: Written into the file, so that a person can see who leads.
    """

    def __init__(self, path: Path, identity: ProcessIdentity) -> None:
        self._path = path
        self._identity = identity
        # At most one descriptor. Taken out by pop(), which only one thread can win.
        self._held: list[int] = []
        # Held while the lock is being taken, and for as long as the process is parked:
        # a descriptor opened while a fork is under way would stay locked in the child.
        self._gate = threading.Lock()
        self._is_parked = False

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock, as of the last try. Never blocks."""
        return bool(self._held)

    def try_acquire(self) -> bool:
        """Take or keep the lock if no other process has it. Never waits.

        Returns:
            Whether this process leads. A leader whose file was deleted or replaced
            steps down: someone else may already hold the new one.

        Raises:
            OSError: The lock file cannot be opened or the file system has no locks.
        """
        if not self._gate.acquire(blocking=False):
            return False
        try:
            return self._keep() or self._take()
        finally:
            self._gate.release()

    def release(self) -> None:
        """Give leadership up, if it is held. Never blocks."""
        with contextlib.suppress(IndexError):
            os.close(self._held.pop())

    def park(self, timeout_seconds: float) -> None:
        """Give leadership up and refuse it until `unpark`."""
        if not self._is_parked:
            self._is_parked = self._gate.acquire(timeout=timeout_seconds)
        self.release()

    def unpark(self) -> None:
        """Let `try_acquire` succeed again."""
        if self._is_parked:
            self._is_parked = False
            self._gate.release()

    def abandon(self) -> None:
        """Let go of a lock inherited over a fork: the parent keeps holding it.

        The same call as `release`, under the name of its other meaning: closing
        one of two copies of a descriptor does not unlock the file.
        """
        self.release()

    def _keep(self) -> bool:
        for descriptor in list(self._held):
            if self._is_file_in_place(descriptor):
                return True
            self.release()
        return False

    def _take(self) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        if not self._lock(descriptor):
            return False
        self._held.append(descriptor)
        return True

    def _lock(self, descriptor: int) -> bool:
        is_locked = False
        try:
            is_locked = _try_lock(descriptor) and self._is_file_in_place(descriptor)
            if is_locked:
                self._sign(descriptor)
        finally:
            if not is_locked:
                os.close(descriptor)
        return is_locked

    def _sign(self, descriptor: int) -> None:
        text = f"pid {self._identity.pid} started {self._identity.start_ticks}\n"
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode("ascii"), 0)

    def _is_file_in_place(self, descriptor: int) -> bool:
        try:
            at_path = self._path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(descriptor), at_path)
