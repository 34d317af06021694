"""From start to shutdown: how a client's parts come together, and how they end."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.bootstrap import bootstrap_table
from liteguard.checker import Checker
from liteguard.contexts import ProtectedBundles
from liteguard.errors import NotReadyError
from liteguard.evaluation.table import GuardTable
from liteguard.host.rate_limits import RateLimits
from liteguard.process import exits, interrupts, uwsgi
from liteguard.process.logs import Trouble, logger
from liteguard.revival import Revival
from liteguard.runtime import Runtime
from liteguard.status import ClientStatus, Role
from liteguard.telemetry.waiting import Standby
from liteguard.timeouts import resolve_timeout

if TYPE_CHECKING:
    from liteguard.host.snapshots import Snapshot
    from liteguard.options import ClientOptions
    from liteguard.types import ProtectedContext

_LOOK_SECONDS = 0.005
Listener = Callable[[frozenset[str]], object]


class Lifecycle:
    """Owns a client's checker and, through `Revival`, the runtime of its process.

    Args:
        token: The project client token.
        options: The client's options.
    """

    checker_type = Checker

    def __init__(self, token: str, options: ClientOptions) -> None:
        self._token = token
        self.options = options
        self._contexts = ProtectedBundles(options.refresh_rate_seconds)
        self._limits = RateLimits(token)
        self._standby = Standby(options.flush_size * options.flush_buffer_multiplier)
        self._snapshot: Optional[Snapshot] = None
        self._listeners: tuple[Listener, ...] = ()
        # Kept over forks: what the parent has said need not be said by each child.
        self._folder_trouble = Trouble("liteguard: the state folder is used again")
        self._revival = Revival(make=self._make_runtime, adopt=self._adopt)
        self.checker = self.checker_type(
            flag=self._revival.flag,
            revive=self._revival.revive,
            contexts=self._contexts,
            limits=self._limits,
            standby=self._standby,
            fallback=options.fallback,
            unadopted_open=options.unadopted_open,
            disable_measurement=options.disable_measurement,
        )
        self.checker.table = bootstrap_table(options.bootstrap, on_problem=_log_problem)
        self._told = self.checker.table

    def start(self, *, strict: bool) -> None:
        """Start in this process, and wait for a first bundle or the deadline."""
        deadline = time.monotonic() + self.options.start_timeout_seconds
        self._revival.want(self.options.start_timeout_seconds)
        exits.watch(self)
        self._revival.revive()
        while self._revival.runtime is None and time.monotonic() < deadline:
            # Another thread is starting, or forking, at this moment.
            time.sleep(_LOOK_SECONDS)
            self._revival.revive()
        runtime = self._wait_for_bundle(deadline)
        if strict and self.checker.table is None:
            reason = runtime.refresher.last_error if runtime else "not running"
            raise NotReadyError(
                f"no bundle within {self.options.start_timeout_seconds:g} s: {reason}"
            )

    def _wait_for_bundle(self, deadline: float) -> Optional[Runtime]:
        """Return the runtime that has a bundle, or has failed to get one."""
        while True:
            runtime = self._revival.runtime
            if runtime is not None and not uwsgi.may_run_threads():
                runtime.refresh_here(deadline)
            elif runtime is not None:
                runtime.wait_for_bundle(deadline)
            # It may have been replaced meanwhile, with another state folder.
            if runtime is self._revival.runtime or time.monotonic() >= deadline:
                return runtime

    def shutdown(self, timeout_seconds: float) -> None:
        """Flush, stop and give up leadership, all within *timeout_seconds*."""
        deadline = time.monotonic() + timeout_seconds
        try:
            runtime = self._revival.unwant(timeout_seconds)
            if runtime is not None:
                runtime.close(deadline)
        except BaseException:
            # Raised by a signal handler: what was to be sent stays on disk.
            self._revival.park_unwanted()
            raise

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is recorded; return whether all of it was delivered."""
        deadline = time.monotonic() + timeout_seconds
        self._revival.revive()
        runtime = self._revival.runtime
        if runtime is None or not self._revival.is_wanted:
            return True
        if runtime.pid != os.getpid():
            return False  # a child that could not revive yet
        return runtime.flusher.flush_until(deadline)

    def flush_before_exit(self, most_seconds: float) -> None:
        """Send what this process recorded; blocks for one request's time at most."""
        runtime = self._revival.runtime
        if runtime is not None and runtime.pid == os.getpid():
            seconds = min(most_seconds, self.options.http_timeout_seconds)
            runtime.flusher.flush_until(time.monotonic() + seconds)

    def wait_until_ready(self, timeout_seconds: float) -> bool:
        """Wait until there is a bundle, and return whether there is one."""
        deadline = time.monotonic() + timeout_seconds
        self._revival.revive()
        while self.checker.table is None and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            self._revival.revive()
        return self.checker.table is not None

    def bind(self, context: ProtectedContext, timeout: Optional[float] = None) -> None:
        """Get the bundle of a protected context. Blocks for one request.

        Does nothing where the client does not run yet, or could not be revived yet.
        """
        seconds = resolve_timeout(timeout, self.options.http_timeout_seconds)
        deadline = time.monotonic() + seconds
        self._revival.revive()
        runtime = self._revival.runtime
        if runtime is not None and runtime.pid == os.getpid():
            fetch = runtime.transport.fetch_bundle
            self._contexts.bind(context, fetch, deadline=deadline)

    def listen(self, callback: Listener) -> None:
        """Call *callback* with the names of the guards that changed."""
        self._listeners = (*self._listeners, callback)

    def status(self) -> ClientStatus:
        """Say where the client stands. Never waits for a thread, never revives."""
        runtime = self._revival.runtime
        table = self.checker.table
        if runtime is None or runtime.pid != os.getpid():
            return ClientStatus(
                self._role(None),
                os.getpid(),
                ready=table is not None,
                guards=len(table or ()),
            )
        snapshot = runtime.refresher.snapshot
        return ClientStatus(
            role=self._role(runtime),
            pid=os.getpid(),
            ready=table is not None,
            generation=snapshot.generation if snapshot else 0,
            etag=snapshot.etag if snapshot else "",
            guards=len(table or ()),
            bundle_age_seconds=runtime.refresher.bundle_age_seconds(),
            last_error=runtime.refresher.last_error or runtime.flusher.last_error,
            state_dir=str(runtime.folder.path) if runtime.folder else None,
            checks=runtime.recorder.recorded,
            buffered=runtime.recorder.buffered,
            sent=runtime.flusher.sent,
            dropped=runtime.flusher.dropped,
            refreshes=runtime.refresher.refreshes,
        )

    def _role(self, runtime: Optional[Runtime]) -> Role:
        if not self._revival.is_wanted:
            return Role.STOPPED
        if runtime is None or not runtime.is_running:
            return Role.PARKED
        if runtime.folder is None:
            return Role.STANDALONE
        return Role.LEADER if runtime.refresher.is_leading else Role.FOLLOWER

    def _make_runtime(self) -> Runtime:
        return Runtime(
            token=self._token,
            options=self.options,
            publish=self._publish,
            tell=self._end_round,
            contexts=self._contexts,
            standby=self._standby,
            folder_trouble=self._folder_trouble,
            on_lost_folder=self._revival.replace,
            snapshot=self._snapshot,
        )

    def _adopt(self, runtime: Optional[Runtime]) -> None:
        """Let *runtime*, the first or the next of this process, record the checks."""
        self.checker.recording = None if runtime is None else runtime.recording
        if runtime is not None:
            self._limits.use(runtime.folder.path if runtime.folder else None)
            runtime.recorder.drain()
        else:
            # Another thread may have held their locks at a fork.
            self._contexts.reset_after_fork()
            self._limits.reset_after_fork()

    def _publish(self, snapshot: Snapshot) -> None:
        self.checker.table = GuardTable(
            snapshot.documents, on_problem=_log_problem, previous=self.checker.table
        )
        # The table first: a child forked in between sees the snapshot as new.
        self._snapshot = snapshot

    def _end_round(self) -> None:
        """Do what is to be done after each look at the snapshot."""
        self._limits.look()
        self.tell_listeners()

    def tell_listeners(self) -> None:
        """Tell what changed since the last time, however many bundles ago."""
        table = self.checker.table
        last, self._told = self._told, table
        if table is None or table is last or not self._listeners:
            return
        changed = frozenset(table.changed_names(last or GuardTable({})))
        for callback in self._listeners if changed else ():
            _tell(callback, changed)


def _tell(callback: Listener, changed: frozenset[str]) -> None:
    try:
        interrupts.as_outside(lambda: callback(changed))
    except BaseException as error:
        # A CancelledError is no Exception; what ends a greenlet has to end it.
        if type(error).__name__ == "GreenletExit":
            raise
        logger.exception("liteguard: an on_change callback failed")


def _log_problem(problem: str) -> None:
    logger.warning("liteguard: %s", problem)
