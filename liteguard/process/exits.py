"""Ends of processes that run no inherited atexit handler: what tells of them instead.

Nothing depends on it, since a journal outlives its process: it makes delivery prompt.
Neither library is imported here; what the application has imported is joined.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import time
import weakref
from typing import Any, Protocol

# celery lets a child live for one more second at most, and kills some sooner.
_CELERY_SECONDS = 0.5
# After the finalizers of multiprocessing's own queues, which end at -5.
_LATE = -10


class Ending(Protocol):
    """What has something to deliver before its process ends."""

    def flush_before_exit(self, most_seconds: float) -> None:
        """Deliver what is recorded; blocks for *most_seconds* at most."""


class _Exits:
    """Who wants to be told, and which libraries tell. Inherited over forks as it is."""

    def __init__(self) -> None:
        self.clients: weakref.WeakSet[Ending] = weakref.WeakSet()
        self.celery: Any = None
        self.multiprocessing: Any = None
        self.finalized_pid = 0

    def flush(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for client in list(self.clients):
            client.flush_before_exit(max(0.0, deadline - time.monotonic()))

    def at_end_of_celery_child(self, **_: object) -> None:
        self.flush(_CELERY_SECONDS)

    def finalize(self) -> None:
        """Let multiprocessing tell of the end of this process, its child."""
        if self.finalized_pid != os.getpid():
            self.finalized_pid = os.getpid()
            finalize = self.multiprocessing.Finalize
            finalize(None, self.flush, (math.inf,), exitpriority=_LATE)


_exits = _Exits()


def watch(client: Ending) -> None:
    """Let *client* deliver before the process ends, or a child in which it lives on.

    Holds the client weakly.
    """
    _exits.clients.add(client)
    join_celery()
    join_multiprocessing()
    process = sys.modules.get("multiprocessing.process")
    if _exits.multiprocessing and process and process.parent_process() is not None:
        # Up to Python 3.12 such a child runs no atexit handler of its own either.
        _exits.finalize()


def prepare_gevent() -> None:
    """Import what gevent's resolver needs, which at the end would be too late.

    In no other process: that module's fork hooks hold a lock, for which a fork inside
    the hook of another library waits for ever, and which is released without having
    been taken where the import meets a fork of another thread.
    """
    monkey = sys.modules.get("gevent.monkey")
    is_patched = getattr(monkey, "is_module_patched", None)
    if is_patched is not None and is_patched("socket"):
        importlib.import_module("concurrent.futures.thread")


def join_celery() -> None:
    """Be told of the ends of celery's children, if celery is imported by now.

    May wait for a lock of celery's: not for fork hooks, nor for checks.
    """
    signals = sys.modules.get("celery.signals")
    ended = getattr(signals, "worker_process_shutdown", None)
    if ended is None or _exits.celery is signals:
        return
    ended.connect(_exits.at_end_of_celery_child, weak=False, dispatch_uid=__name__)
    _exits.celery = signals


def join_multiprocessing() -> None:
    """Be told of the ends of multiprocessing's children, if it is imported by now.

    Never waits. A finalizer made before the fork, or in a fork hook, would be dropped
    by multiprocessing: it asks for those of a child itself.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    # While another thread is importing it, it may be there in part.
    if not hasattr(util, "Finalize") or _exits.multiprocessing is util:
        return
    _exits.multiprocessing = util
    util.register_after_fork(_exits, _Exits.finalize)
