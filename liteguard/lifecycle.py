"""From start to shutdown, over any number of forks: which state a client is in."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.bootstrap import bootstrap_table
from liteguard.checker import Checker
from liteguard.contexts import ProtectedBundles
from liteguard.errors import NotReadyError
from liteguard.evaluation.table import GuardTable
from liteguard.host.rate_limits import RateLimits
from liteguard.process import fork
from liteguard.process.logs import Trouble, logger
from liteguard.process.worker import PeriodicWorker
from liteguard.runtime import Runtime
from liteguard.status import ClientStatus, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from liteguard.host.snapshots import Snapshot
    from liteguard.options import ClientOptions
    from liteguard.types import ProtectedContext

_PARK_SECONDS = 0.02
_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 0.005
# A child that is about to exec should start nothing; one that stays soon must.
_CHILD_DELAY_SECONDS = 0.05


class State(Enum):
    """Where a client stands, whichever process it is in."""

    NEW = "new"
    RUNNING = "running"
    SHUT_DOWN = "shut down"


class Lifecycle:
    """Starts, parks, revives and ends the `Runtime` of the process it is in.

    The flag reads 1 only while this process's threads run and have looked at the
    snapshot: parking clears it, and so does the kernel in every child. A check that
    reads 0 calls `revive`.

    Args:
        token: The project client token.
        options: The client's options.
    """

    def __init__(self, token: str, options: ClientOptions) -> None:
        self._token = token
        self._options = options
        self._state = State.NEW
        self._runtime: Optional[Runtime] = None
        self._waker: Optional[PeriodicWorker] = None
        # By pid: a lock that another thread held at a fork stays held in the child.
        self._locks: dict[int, threading.Lock] = {}
        self._flag = fork.new_flag()
        self._contexts = ProtectedBundles(options.refresh_rate_seconds)
        self._listeners: tuple[Callable[[frozenset[str]], object], ...] = ()
        self._trouble = Trouble("liteguard: runs again in this process")
        self._retry_at = 0.0
        self.checker = Checker(
            flag=self._flag,
            revive=self.revive,
            contexts=self._contexts,
            fallback=options.fallback,
            unadopted_open=options.unadopted_open,
            disable_measurement=options.disable_measurement,
        )
        self.checker.table = bootstrap_table(options.bootstrap, on_problem=_log_problem)

    # -- by the application

    def start(self, *, strict: bool) -> None:
        """Start in this process, and wait for a first bundle or the deadline."""
        deadline = time.monotonic() + self._options.start_timeout_seconds
        if self._state is not State.RUNNING:
            fork.watch(self)
            self._runtime = None
            self._state = State.RUNNING
        self.revive()
        while not self._flag[0] and time.monotonic() < deadline:
            # Another thread is starting, or forking, at this moment.
            time.sleep(_LOOK_SECONDS)
            self.revive()
        runtime = self._runtime
        if runtime is not None:
            runtime.wait_for_bundle(deadline)
        if strict and self.checker.table is None:
            reason = runtime.refresher.last_error if runtime else "not running"
            raise NotReadyError(
                f"no bundle within {self._options.start_timeout_seconds:g} s: {reason}"
            )

    def shutdown(self, timeout_seconds: float) -> None:
        """Flush, stop and give up leadership, all within *timeout_seconds*."""
        deadline = time.monotonic() + timeout_seconds
        was_running = self._state is State.RUNNING
        self._state = State.SHUT_DOWN
        with self._revival(timeout_seconds):
            self._flag[0] = 0
            self.checker.recording = None
            runtime = self._runtime
        if runtime is None or not was_running:
            return
        if runtime.pid == os.getpid():
            runtime.close(deadline)
        else:
            self._abandon()

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is recorded; return whether all of it was delivered."""
        deadline = time.monotonic() + timeout_seconds
        self.revive()
        runtime = self._runtime
        if runtime is None or self._state is not State.RUNNING:
            return True
        return runtime.flusher.flush_until(deadline)

    def bind(self, context: ProtectedContext) -> None:
        """Get the bundle of a protected context. Blocks for one request."""
        self.revive()
        runtime = self._runtime
        if runtime is not None:
            self._contexts.bind(context, runtime.fetch_protected)

    def listen(self, callback: Callable[[frozenset[str]], object]) -> None:
        """Call *callback* with the names of the guards that changed."""
        self._listeners = (*self._listeners, callback)

    def status(self) -> ClientStatus:
        """Say where the client stands. Never waits for a thread, never revives."""
        runtime = self._runtime
        is_ready = self.checker.table is not None
        if runtime is None:
            return ClientStatus(self._role(None), os.getpid(), ready=is_ready)
        snapshot = runtime.refresher.snapshot
        return ClientStatus(
            role=self._role(runtime),
            pid=os.getpid(),
            ready=is_ready,
            generation=snapshot.generation if snapshot else 0,
            etag=snapshot.etag if snapshot else "",
            guards=len(self.checker.table or ()),
            bundle_age_seconds=runtime.refresher.bundle_age_seconds(),
            last_error=runtime.refresher.last_error or runtime.flusher.last_error,
            state_dir=str(runtime.folder.path) if runtime.folder else None,
            checks=runtime.recorder.recorded,
            buffered=runtime.recorder.buffered,
            sent=runtime.flusher.sent,
            dropped=runtime.flusher.dropped,
            refreshes=runtime.refresher.refreshes,
        )

    # -- around a fork

    def park(self) -> None:
        """Before a fork, in the parent: leave no thread and no lock to be copied."""
        self._flag[0] = 0
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.stop()
            waker.join(_PARK_SECONDS)
        # A revival that is under way may be about to start threads; those that come
        # later see that a fork is under way.
        with self._revival(_PARK_SECONDS):
            self._flag[0] = 0
            runtime = self._runtime
            if runtime is not None and runtime.pid == os.getpid():
                runtime.park(_PARK_SECONDS)

    def reset_after_fork(self) -> None:
        """After a fork, in the child: drop what is the parent's, and begin anew."""
        self._abandon()
        self._waker = None
        self._locks = {}
        self._contexts.reset_after_fork()
        self.checker.limits = RateLimits()
        if self._state is State.RUNNING:
            self._waker = PeriodicWorker(
                "liteguard-refresh",
                self._wake,
                first_delay_seconds=_CHILD_DELAY_SECONDS,
            )
            self._waker.start()

    def revive(self) -> None:
        """Run in this process if the client should. Never raises.

        Whoever does not get to do it goes on with what is in force: nothing waits.
        """
        if self._state is not State.RUNNING or fork.is_under_way():
            return
        if time.monotonic() < self._retry_at:
            return
        lock = self._lock_of_this_process()
        if not lock.acquire(blocking=False):
            return
        try:
            is_wanted = self._state is State.RUNNING and not fork.is_under_way()
            if is_wanted and not self._flag[0]:
                self._run_here()
        except Exception as error:  # noqa: BLE001  a check must not fail because of this
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            self._trouble.begin(
                type(error).__name__,
                "liteguard: cannot run in process %d, keeping the last bundle: %r",
                os.getpid(),
                error,
                level=logging.ERROR,
            )
        finally:
            lock.release()

    def _run_here(self) -> None:
        for error in fork.take_errors():
            logger.error("liteguard: a fork hook failed: %r", error)
        runtime = self._runtime
        if runtime is not None and runtime.pid != os.getpid():
            # This process was forked by something that ran no hook.
            self._abandon()
            self._contexts.reset_after_fork()
            runtime = None
        if runtime is None:
            runtime = self._new_runtime()
        runtime.refresher.reload()
        self._runtime = runtime
        self.checker.recording = runtime.recording
        runtime.start_threads()
        self._flag[0] = 1
        self._trouble.end()

    def _new_runtime(self) -> Runtime:
        return Runtime(
            token=self._token,
            options=self._options,
            publish=self._publish,
            contexts=self._contexts,
        )

    def _wake(self) -> float:
        """One round of a child's first thread: hand over to the runtime's own."""
        self.revive()
        waker = self._waker
        if waker is not None and (self._flag[0] or self._state is not State.RUNNING):
            self._waker = None
            waker.stop()
        return _CHILD_DELAY_SECONDS

    def _abandon(self) -> None:
        self.checker.recording = None
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.abandon()

    @contextlib.contextmanager
    def _revival(self, timeout_seconds: float) -> Iterator[None]:
        """Keep others from reviving; after *timeout_seconds* go on all the same."""
        lock = self._lock_of_this_process()
        is_acquired = lock.acquire(timeout=timeout_seconds)
        try:
            yield
        finally:
            if is_acquired:
                lock.release()

    def _lock_of_this_process(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _role(self, runtime: Optional[Runtime]) -> Role:
        if self._state is not State.RUNNING:
            return Role.STOPPED
        if runtime is None or not self._flag[0]:
            return Role.PARKED
        if runtime.folder is None:
            return Role.STANDALONE
        return Role.LEADER if runtime.refresher.is_leading else Role.FOLLOWER

    def _publish(self, snapshot: Snapshot) -> None:
        last = self.checker.table
        table = GuardTable(snapshot.documents, on_problem=_log_problem, previous=last)
        self.checker.table = table
        if self._listeners:
            changed = frozenset(table.changed_names(last or GuardTable({})))
            self._tell(changed)

    def _tell(self, changed: frozenset[str]) -> None:
        for callback in self._listeners if changed else ():
            try:
                callback(changed)
            except Exception:  # noqa: BLE001  the callback is the application's
                logger.exception("liteguard: an on_change callback failed")


def _log_problem(problem: str) -> None:
    logger.warning("liteguard: %s", problem)
