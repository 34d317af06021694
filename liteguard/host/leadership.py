"""Which process of the host leads: an advisory lock that the kernel frees on death.

Two leaders are not freed so: one that was stopped or hangs, and one that died while a
child, forked without hooks, keeps a copy of the lock. So the leader touches the file
from time to time, and one that does not, or is dead, is replaced: another process puts
a locked file of its own in the place. Whoever leads looks whether its file is in place.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Callable

import orjson

from liteguard.host.descriptors import OwnDescriptor
from liteguard.host.files import OWNER_READS, is_own_file
from liteguard.process.identity import ProcessIdentity
from liteguard.process.turns import Busy, Turn

if TYPE_CHECKING:
    from pathlib import Path

_STALE_AFTER_SECONDS = 30.0
_BEATS_PER_STALE = 6.0
# A leader signs the file a moment after it has locked it.
_SIGNING_SECONDS = 1.0
_LONGEST_SIGNATURE_BYTES = 4096

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

    A lock belongs to the open file, which a fork shares, so a child must close its
    copy without unlocking it. Used by the refresh thread, and by whoever forks or shuts
    down.

    Not taken by way of filelock, which uses the same locks: filelock 3.30 and newer,
    once imported, makes forks fail while another thread forks.

    Args:
        path: The lock file. Replaced, but never deleted: two processes would lead.
        identity: Written into the file, so that others can see whether it lives.
        stale_after_seconds: A leader that does not call `try_acquire` for so long may
            be replaced; longer than any of its requests takes.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        path: Path,
        identity: ProcessIdentity,
        *,
        stale_after_seconds: float = _STALE_AFTER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._identity = identity
        self._stale_after_seconds = stale_after_seconds
        self._clock = clock
        # At most one. Taken out by pop(), which only one thread can win.
        self._held: list[OwnDescriptor] = []
        self._beat_at = 0.0
        # Which file another process holds, touched when, and how long it stays so.
        self._watched = (0, 0)
        self._watched_since = 0.0
        # Taken while the lock is being taken, and for as long as the process is parked:
        # a descriptor opened while a fork is under way would stay locked in the child.
        self._gate = Turn()
        self._has_gate = False
        self._is_parked = False

    @property
    def is_held(self) -> bool:
        """Whether this process leads still, by a look at the file. Never waits."""
        try:
            return any(self._is_in_place(file) for file in list(self._held))
        except OSError:
            return False

    def try_acquire(self) -> bool:
        """Take or keep the lock if no other process has it. Never waits.

        Returns:
            Whether this process leads. A leader whose file was deleted or replaced
            steps down: someone else may already hold the new one.

        Raises:
            OSError: The lock file cannot be opened or the file system has no locks.
        """
        if self._identity.pid != os.getpid():
            return False
        try:
            is_leading = self._gate.call(lambda: self._keep() or self._take())
        except Busy:
            return False
        if self._is_parked:
            # The taking took longer than parking could wait for it.
            self.release()
        return is_leading and not self._is_parked

    def release(self) -> None:
        """Give leadership up, if it is held. Never blocks."""
        with contextlib.suppress(IndexError):
            file = self._held.pop()
            if file.is_ours and self._identity.pid == os.getpid():
                # Closing is not enough: a child may keep a copy that it never uses.
                with contextlib.suppress(OSError):
                    fcntl.flock(file.number, fcntl.LOCK_UN)
            file.close()

    def park(self, timeout_seconds: float) -> None:
        """Give leadership up and refuse it until `unpark`."""
        self._is_parked = True
        # Several threads may fork at once: who comes too late must not undo this.
        if not self._has_gate:
            self._has_gate = self._gate.keep(timeout_seconds)
        self.release()

    def unpark(self) -> None:
        """Let `try_acquire` succeed again."""
        if self._is_parked or self._has_gate:
            # Another one: that which is kept may be another thread's to give back, or
            # of a parking that a signal handler ended before it was noted.
            self._gate, self._has_gate = Turn(), False
        self._is_parked = False

    def abandon(self) -> None:
        """Let go of a lock inherited over a fork: the parent keeps holding it."""
        with contextlib.suppress(IndexError):
            self._held.pop().close()

    def _keep(self) -> bool:
        for file in list(self._held):
            if self._is_in_place(file):
                self._beat(file)
                return True
            self.release()
        return False

    def _take(self) -> bool:
        file = OwnDescriptor(self._path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
        try:
            if not is_own_file(file.status):
                # By a second name we would write into another file of this user.
                raise PermissionError(0, "is no file of this user alone", self._path)
            is_taken = self._lock(file)
            is_free = not is_taken and self._is_leader_gone(file)
        finally:
            if file not in self._held:
                file.close()
        return is_taken or (is_free and self._take_over())

    def _lock(self, file: OwnDescriptor) -> bool:
        if not _try_lock(file.number) or not self._is_in_place(file):
            return False
        self._sign(file)
        self._held.append(file)
        return True

    def _is_leader_gone(self, file: OwnDescriptor) -> bool:
        seen = (file.status.st_ino, file.status.st_mtime_ns)
        now = self._clock()
        if seen != self._watched:
            self._watched, self._watched_since = seen, now
        idle_seconds = now - self._watched_since
        if idle_seconds >= self._stale_after_seconds:
            return True
        return idle_seconds >= _SIGNING_SECONDS and not _is_signer_alive(file)

    def _take_over(self) -> bool:
        """Put a locked file of our own in the place of one that nobody cares for."""
        temporary = self._path.with_name(f".{secrets.token_hex(6)}.lock.tmp")
        file = OwnDescriptor(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            if _try_lock(file.number):
                self._sign(file)
                temporary.replace(self._path)
                self._held.append(file)
        finally:
            if file not in self._held:
                temporary.unlink(missing_ok=True)
                file.close()
        # Of two that did so at once, the later one leads.
        return self._keep()

    def _sign(self, file: OwnDescriptor) -> None:
        # On a full disk nobody can tell who leads, and it leads all the same.
        with contextlib.suppress(OSError):
            os.fchmod(file.number, OWNER_READS)
            os.ftruncate(file.number, 0)
            os.pwrite(file.number, orjson.dumps(asdict(self._identity)), 0)
        self._beat_at = 0.0
        self._beat(file)

    def _beat(self, file: OwnDescriptor) -> None:
        if self._clock() >= self._beat_at:
            self._beat_at = self._clock() + self._stale_after_seconds / _BEATS_PER_STALE
            with contextlib.suppress(OSError):
                os.utime(file.number)

    def _is_in_place(self, file: OwnDescriptor) -> bool:
        try:
            at_path = self._path.lstat()
        except FileNotFoundError:
            return False
        return file.is_ours and os.path.samestat(file.status, at_path)


def _is_signer_alive(file: OwnDescriptor) -> bool:
    """Whether whoever signed the file lives; an unreadable signature tells nothing."""
    try:
        text = os.pread(file.number, _LONGEST_SIGNATURE_BYTES, 0)
        return ProcessIdentity(**orjson.loads(text)).is_alive()
    except (OSError, ValueError, TypeError):
        return True
