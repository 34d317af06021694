"""The one set of fork hooks, and a flag that no child inherits.

Hooks never log, import or wait without a bound: whatever lock another thread holds
at the fork stays held in the child for ever.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Callable, Optional, Protocol, Union

from liteguard.process.turns import locked

_MADV_WIPEONFORK = 18
_SMAPS = Path("/proc/self/smaps")
# An after-hook that never comes (uWSGI runs some hooks and not others) must not
# keep a process parked: no fork takes this long.
_LONGEST_FORK_SECONDS = 1.0
_MOST_ERRORS = 10
# Forks in fork hooks in fork hooks; where no end is told, as above, they add up.
_MOST_NESTED = 10


class Forkable(Protocol):
    """What takes part in a fork. Both methods must return within milliseconds."""

    def park(self) -> None:
        """Let go of threads and locks; called in the parent, before the fork."""

    def reset_after_fork(self) -> None:
        """Replace what was inherited, touching none of it; called in the child."""


class _Forks:
    """Which clients take part, and whether a fork is under way right now."""

    def __init__(self) -> None:
        self.clients: tuple[weakref.ref[Forkable], ...] = ()
        # Reentrant: a signal handler that starts a client may run in the middle of it.
        self._lock = threading.RLock()
        self.has_hooks = False
        # By thread: several may fork at once, and the hook of another library may fork.
        self.begun: dict[int, tuple[float, ...]] = {}
        self.errors: list[Exception] = []
        self.kernel_wipes: Optional[bool] = None

    @locked
    def watch(self, client: Forkable) -> None:
        self._install()
        others = [ref for ref in self.clients if ref() not in (None, client)]
        # A tuple replaced whole: a hook may read it at any moment, without a lock.
        self.clients = (*others, weakref.ref(client))

    def _install(self) -> None:
        if self.has_hooks or not hasattr(os, "register_at_fork"):
            return
        os.register_at_fork(
            before=self.before,
            after_in_parent=self.after_in_parent,
            after_in_child=self.after_in_child,
        )
        self.has_hooks = True

    def before(self) -> None:
        thread = threading.get_ident()
        outer = self.begun.get(thread, ())[-_MOST_NESTED:]
        self.begun[thread] = (*outer, time.monotonic())
        for client in self._living():
            self._guarded(client.park)

    def after_in_parent(self) -> None:
        thread = threading.get_ident()
        outer = self.begun.pop(thread, ())[:-1]
        if outer:
            self.begun[thread] = outer

    def after_in_child(self) -> None:
        self._lock = threading.RLock()
        self.begun = {}
        for client in self._living():
            self._guarded(client.reset_after_fork)

    def _living(self) -> list[Forkable]:
        return [client for ref in self.clients if (client := ref()) is not None]

    def _guarded(self, hook: Callable[[], None]) -> None:
        try:
            hook()
        except Exception as error:  # noqa: BLE001  one client's failure must not stop the rest
            # Without its frames, which would keep alive what a hook was called for.
            kept = [*self.errors, error.with_traceback(None)]
            self.errors = kept[-_MOST_ERRORS:]


_forks = _Forks()


def watch(client: Forkable) -> None:
    """Let *client* take part in every later fork, for as long as it lives.

    Holds the client weakly. The hooks themselves are registered once and stay.
    """
    _forks.watch(client)


def is_under_way() -> bool:
    """Whether some thread of this process is between its before- and after-hook."""
    begun = _forks.begun
    if not begun:
        return False
    earliest = time.monotonic() - _LONGEST_FORK_SECONDS
    return any(moments[-1] > earliest for moments in list(begun.values()))


def take_errors() -> list[Exception]:
    """Return what the hooks could not log, and forget it."""
    errors, _forks.errors = _forks.errors, []
    return errors


class _PidFlag:
    """The flag where the kernel cannot wipe memory: compares pids, ten times slower."""

    def __init__(self) -> None:
        self._pid = 0

    def __getitem__(self, index: int) -> int:
        return int(self._pid == os.getpid())

    def __setitem__(self, index: int, value: int) -> None:
        self._pid = os.getpid() if value else 0


Flag = Union[mmap.mmap, _PidFlag]
"""``flag[0]`` is 1 only in the process that set it: every child reads 0."""


def new_flag() -> Flag:
    """Return a flag that reads 0 in every child, also of a fork that ran no hook."""
    page = _wiped_page()
    return _PidFlag() if page is None else page


def _wiped_page() -> mmap.mmap | None:
    if not sys.platform.startswith("linux"):
        return None
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(_MADV_WIPEONFORK)
    except OSError:
        return None
    if _forks.kernel_wipes is None:
        _forks.kernel_wipes = _is_advice_in_force()
    return page if _forks.kernel_wipes else None


def _is_advice_in_force(smaps_path: Path = _SMAPS) -> bool:
    """Whether the kernel marked the page: emulators take the advice and do nothing.

    Any page marked so will do. Another library's proves as much as ours.
    """
    try:
        with smaps_path.open(encoding="utf-8", errors="replace") as smaps:
            flags = (line for line in smaps if line.startswith("VmFlags:"))
            return any("wf" in line.split() for line in flags)
    except OSError:
        return False
