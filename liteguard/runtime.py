"""Everything that one process owns: made after each fork, and thrown away whole."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.folder_watch import FolderWatch
from liteguard.host.pruning import Pruner
from liteguard.parts import make_parts
from liteguard.process import exits
from liteguard.process.turns import Latch
from liteguard.process.worker import PeriodicWorker
from liteguard.recording import Recording

if TYPE_CHECKING:
    from liteguard.contexts import ProtectedBundles
    from liteguard.host.snapshots import Snapshot
    from liteguard.options import ClientOptions
    from liteguard.process.logs import Trouble
    from liteguard.telemetry.waiting import Standby


# Longest that an election takes, on a machine that has much else to do.
_ELECTION_SECONDS = 0.2


class Runtime:
    """One process's connection, locks, journal and threads, wired together.

    Never shared: a child abandons its parent's and makes its own.

    Args:
        token: The project client token.
        options: The client's options.
        publish: Puts a bundle into force; called in the refresh thread, or by a check
            that revives.
        tell: Tells listeners of a new bundle; called in the refresh thread alone.
        contexts: Bundles of protected contexts, refreshed in the refresh thread.
        standby: What was recorded before there was a runtime in this process.
        folder_trouble: Told when the state folder cannot be used.
        on_lost_folder: Called when the state folder is gone or another user's: the
            runtime must be made anew.
        snapshot: What is in force already, from an earlier runtime or a parent's.
    """

    def __init__(
        self,
        *,
        token: str,
        options: ClientOptions,
        publish: Callable[[Snapshot], None],
        tell: Callable[[], None],
        contexts: ProtectedBundles,
        standby: Standby,
        folder_trouble: Trouble,
        on_lost_folder: Callable[[], None],
        snapshot: Optional[Snapshot],
    ) -> None:
        parts = make_parts(
            token=token,
            options=options,
            publish=publish,
            standby=standby,
            folder_trouble=folder_trouble,
            on_many=self._wake_flush,
            snapshot=snapshot,
        )
        self.pid = parts.pid
        self.folder = parts.folder
        self._folder_watch = FolderWatch(parts.folder, parts.find_folder)
        self._pruner = Pruner(parts.folder.path if parts.folder else None)
        self.transport = parts.transport
        self.refresher = parts.refresher
        self.recorder = parts.recorder
        self.unadopted = parts.unadopted
        self.flusher = parts.flusher
        self._lock = parts.lock
        self._contexts = contexts
        self._on_lost_folder = on_lost_folder
        self._tell = tell
        self._flush_rate_seconds = options.flush_rate_seconds
        self._http_timeout_seconds = options.http_timeout_seconds
        # Kept while parked: a process that forks for every job must still flush.
        self._flush_due_at = time.monotonic() + self.flusher.first_pause()
        self._reload_rate_seconds = options.reload_rate_seconds
        self._looked_at = -math.inf
        self._work_due_at = -math.inf
        self._settled = Latch()
        self.has_run = False
        self._refresh: Optional[PeriodicWorker] = None
        self._flush: Optional[PeriodicWorker] = None
        self._context_worker: Optional[PeriodicWorker] = None

    @property
    def recording(self) -> Recording:
        """Where checks are recorded."""
        return Recording(self.recorder, self.unadopted, self.pid)

    @property
    def is_running(self) -> bool:
        """Whether threads were started and not told to stop."""
        return self._refresh is not None

    def start_threads(self) -> None:
        """Start the refresh thread and the flush thread, unless they run."""
        if self._refresh is not None:
            return
        refresh = PeriodicWorker("liteguard-refresh", self._refresh_round)
        flush = PeriodicWorker(
            "liteguard-flush",
            self._flush_round,
            first_delay_seconds=max(0.0, self._flush_due_at - time.monotonic()),
        )
        self._refresh, self._flush = refresh, flush
        self.has_run = False
        self.refresher.unpark()
        try:
            refresh.start()
            flush.start()
        except BaseException:
            # No more threads are to be had, or a signal handler has raised something:
            # what runs ends, and may be tried again.
            self._tell_threads_to_end()
            raise

    def look(self) -> None:
        """Look at the snapshot, once in an interval, for a check without threads."""
        now = time.monotonic()
        if now - self._looked_at >= self._reload_rate_seconds:
            self._looked_at = now
            self.refresher.reload()

    def refresh_here(self, deadline: float) -> None:
        """Get a first bundle in the caller's thread, where none may be started."""
        while not self.refresher.is_settled and time.monotonic() < deadline:
            time.sleep(self.refresher.refresh_once())
        self.park(0.0)

    def work_here(self) -> None:
        """Do in the caller's thread what the threads would have done by now.

        Blocks for what is due: one poll for the whole host in a refresh interval, and
        the signals of this process in a flush interval.
        """
        now = time.monotonic()
        if now < self._work_due_at:
            return
        self._work_due_at = now + self._reload_rate_seconds
        is_flush_due = now >= self._flush_due_at
        if is_flush_due or self.refresher.is_due:
            self.refresher.unpark()
            try:
                self._refresh_round()
                if is_flush_due:
                    self._flush_here()
            finally:
                # Nobody leads between two requests: another process may get the next.
                self.refresher.park(0.0)

    def _flush_here(self) -> None:
        self._mark_flush()
        self.flusher.flush_until(time.monotonic() + self._http_timeout_seconds)
        self._prune()
        self.flusher.release()
        self._flush_due_at = time.monotonic() + self._flush_rate_seconds

    def _prune(self) -> None:
        if self.refresher.is_leading:
            self._pruner.prune()

    def wait_for_bundle(self, deadline: float) -> None:
        """Wait until the refresh thread has a bundle or has failed to get one.

        Args:
            deadline: Monotonic seconds.
        """
        if not self.refresher.is_settled:
            self._settled.wait(max(0.0, deadline - time.monotonic()))

    def park(self, timeout_seconds: float) -> None:
        """Let go of threads, journal and leadership, keeping what can be taken up.

        A thread in the middle of a request is not waited for; it ends by itself.
        """
        deadline = time.monotonic() + timeout_seconds
        for worker in self._tell_threads_to_end():
            if not self.transport.is_used_by(worker.thread_ident):
                worker.join(deadline - time.monotonic())
        self.recorder.journals.seal()
        self.flusher.release()
        self.refresher.park(max(0.0, deadline - time.monotonic()))

    def succeed(self, earlier: Runtime) -> None:
        """Take up what *earlier*, parked in this same process, can no longer deliver.

        It could not write to its folder any more, and kept in memory what came then.
        """
        self.flusher.succeed(earlier.flusher)

    def abandon(self) -> None:
        """Let go of what was inherited over a fork, without touching its contents."""
        if self._lock is not None:
            self._lock.abandon()

    def close(self, deadline: float) -> None:
        """Deliver what there is before *deadline*, and give everything up."""
        workers = self._tell_threads_to_end()
        self.recorder.close(deadline)
        for worker in workers[:1]:
            # A refresh thread that tries to lead at this moment would be in the way.
            worker.join(min(_ELECTION_SECONDS, deadline - time.monotonic()))
        # A parked process does not lead; at its end it may be the only one left.
        self.refresher.unpark()
        self.refresher.try_to_lead()
        self.flusher.flush_until(deadline)
        self.recorder.journals.keep_lost()
        self.flusher.release()
        for worker in workers:
            worker.join(deadline - time.monotonic())
        self.refresher.park(max(0.0, deadline - time.monotonic()))
        self.transport.close()

    def _tell_threads_to_end(self) -> list[PeriodicWorker]:
        all_workers = (self._refresh, self._flush, self._context_worker)
        workers = [worker for worker in all_workers if worker is not None]
        # Not forgotten before: what is interrupted here is done again.
        for worker in workers:
            worker.stop()
        self._refresh = self._flush = self._context_worker = None
        return workers

    def _refresh_round(self) -> float:
        self.has_run = True
        if self._folder_watch.must_move(is_lost=self.refresher.has_lost_folder):
            self._on_lost_folder()
            # Whoever waits for a bundle is to wait for the next runtime's.
            self._settled.open()
            return self._reload_rate_seconds
        was_leading = self.refresher.is_leading
        delay_seconds = self.refresher.refresh_once()
        if self.refresher.is_leading and not was_leading:
            self._flush_if_overdue()
        if self.refresher.is_settled:
            self._settled.open()
        self._tell()
        exits.join_celery()
        exits.prepare_gevent()
        self._serve_contexts()
        return delay_seconds

    def _serve_contexts(self) -> None:
        """Let a thread of their own refresh protected contexts, where there are any."""
        if not self.is_running:
            self._context_round()
        elif len(self._contexts) and self._context_worker is None:
            worker = PeriodicWorker("liteguard-contexts", self._context_round)
            self._context_worker = worker
            try:
                worker.start()
            except RuntimeError:
                # No more threads are to be had: this one does it.
                self._context_worker = None
                self._context_round()
            if not self.is_running:
                # Parked meanwhile, without this one.
                worker.stop()

    def _context_round(self) -> float:
        return self._contexts.refresh_one(self.transport.fetch_bundle)

    def _mark_flush(self) -> None:
        if self.refresher.is_leading and self.folder is not None:
            self.folder.mark_flush()

    def _flush_round(self) -> float:
        self._mark_flush()
        delay_seconds = self.flusher.flush_once()
        self._prune()
        self._flush_due_at = time.monotonic() + delay_seconds
        return delay_seconds

    def _flush_if_overdue(self) -> None:
        """Deliver at once what the dead left, if no leader before lived to do so."""
        folder = self.folder
        if folder is not None and folder.last_flush_age() > self._flush_rate_seconds:
            self._wake_flush()

    def _wake_flush(self) -> None:
        flush = self._flush
        # A backend that asks to be left alone is not asked because more has come.
        if flush is not None and self.flusher.last_error is None:
            flush.wake()
