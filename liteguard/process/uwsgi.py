"""What can be known of uWSGI from inside it. Elsewhere every answer is "no"."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from types import ModuleType

_HOOK = "post_fork_hook"
_callbacks: list[Callable[[], None]] = []


def is_master() -> bool:
    """Whether this process is a uWSGI master, the parent of all workers.

    A thread that computes there makes respawned workers deadlock: the master forks
    without holding the interpreter's lock.
    """
    module = _module()
    return module is not None and module.masterpid() == os.getpid()


def is_here() -> bool:
    """Whether this process runs in uWSGI at all."""
    return _module() is not None


def after_fork(callback: Callable[[], None]) -> None:
    """Call *callback* in every worker, mule and spooler that uWSGI forks.

    Comes after a hook that is there already. One that is set later replaces it: this
    only makes idle workers fresh, and nothing may depend on it.
    """
    module = _module()
    if module is None:
        return
    _callbacks.append(callback)
    earlier = getattr(module, _HOOK, None)
    if not isinstance(earlier, _Chain):
        setattr(module, _HOOK, _Chain(earlier))


class _Chain:
    """The hook that was there before, and then ours."""

    def __init__(self, earlier: Optional[Callable[[], None]]) -> None:
        self._earlier = earlier

    def __call__(self) -> None:
        if self._earlier is not None:
            self._earlier()
        for callback in _callbacks:
            callback()


def _module() -> Optional[ModuleType]:
    # uWSGI puts it there before it runs anything; to look for it elsewhere would cost
    # each process a search of its path.
    module = sys.modules.get("uwsgi")
    # Only the module that uWSGI itself provides can tell who the master is.
    return module if hasattr(module, "masterpid") else None
