"""Everything that one process owns: made after each fork, and thrown away whole."""

from __future__ import annotations

import math
import os
import threading
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.checker import Recording
from liteguard.errors import StateFolderError
from liteguard.host.leadership import LeaderLock
from liteguard.host.polls import PollLog
from liteguard.host.refresh import Refresher, Shared
from liteguard.host.snapshots import Snapshot, SnapshotStore
from liteguard.host.statedir import StateFolder, open_state_folder
from liteguard.process import uwsgi
from liteguard.process.identity import current_identity
from liteguard.process.worker import PeriodicWorker
from liteguard.telemetry.adoption import Adopter
from liteguard.telemetry.execution import new_id
from liteguard.telemetry.flush import Flusher
from liteguard.telemetry.recorder import Recorder
from liteguard.telemetry.unadopted import UnadoptedCounts
from liteguard.transport import Transport

if TYPE_CHECKING:
    from liteguard.contexts import ProtectedBundles
    from liteguard.options import ClientOptions
    from liteguard.process.logs import Trouble
    from liteguard.telemetry.waiting import Standby


# How long a journal made in a uWSGI master may be written, see `Recorder`.
_LEASE_SECONDS = 1.0


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
        on_other_user: Called when the effective user has changed since.
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
        on_other_user: Callable[[], None],
    ) -> None:
        identity = current_identity()
        self.pid = identity.pid
        self._contexts = contexts
        self._on_other_user = on_other_user
        self._tell = tell
        self.folder = _open_folder(token, options, folder_trouble)
        self.transport = Transport(
            backend_url=options.backend_url,
            token=token,
            environment=options.environment,
            process_id=new_id(),
            pid=identity.pid,
            timeout_seconds=options.http_timeout_seconds,
            ca_bundle=options.ca_bundle,
            proxies=options.proxies,
        )
        lock = None
        shared = None
        adopter = None
        folder = self.folder
        if folder is not None:
            lock = LeaderLock(folder.leader_lock_path, identity)
            shared = Shared(lock, SnapshotStore(folder.snapshot_path, token))
            adopter = Adopter(folder.journals_path, identity)
        self._lock: Optional[LeaderLock] = lock
        self.refresher = Refresher(
            fetch=self.transport.fetch_bundle,
            publish=publish,
            polls=PollLog(folder.polls_path if folder else None, identity.boot_id),
            shared=shared,
            boot_id=identity.boot_id,
            refresh_rate_seconds=options.refresh_rate_seconds,
            reload_rate_seconds=options.reload_rate_seconds,
            quiet=options.quiet,
        )
        self.recorder = Recorder(
            standby=standby,
            folder=folder.journals_path if folder else None,
            identity=identity,
            capacity=options.flush_size * options.flush_buffer_multiplier,
            flush_size=options.flush_size,
            on_many=self._wake_flush,
            lease_seconds=_LEASE_SECONDS if uwsgi.is_master() else 0.0,
        )
        self.unadopted = UnadoptedCounts()
        self.flusher = Flusher(
            transport=self.transport,
            recorder=self.recorder,
            unadopted=self.unadopted,
            adopter=adopter,
            is_leading=lambda: self.refresher.is_leading,
            flush_rate_seconds=options.flush_rate_seconds,
            quiet=options.quiet,
        )
        self._flush_rate_seconds = options.flush_rate_seconds
        # Kept while parked: a process that forks for every job must still flush.
        self._flush_due_at = time.monotonic() + options.flush_rate_seconds
        self._reload_rate_seconds = options.reload_rate_seconds
        self._looked_at = -math.inf
        self._started_at = -math.inf
        self._settled = threading.Event()
        self.has_run = False
        self._refresh: Optional[PeriodicWorker] = None
        self._flush: Optional[PeriodicWorker] = None

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
        self._started_at = time.monotonic()
        self.has_run = False
        self.refresher.unpark()
        refresh.start()
        flush.start()

    def started_since(self) -> float:
        """Return the seconds since the threads were started."""
        return time.monotonic() - self._started_at

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

    def wait_for_bundle(self, deadline: float) -> None:
        """Wait until the refresh thread has a bundle or has failed to get one.

        Args:
            deadline: Monotonic seconds.
        """
        if not self.refresher.is_settled:
            self._settled.wait(max(0.0, deadline - time.monotonic()))

    def stop_threads(self, timeout_seconds: float) -> bool:
        """Tell both threads to end, and wait for them.

        Returns:
            Whether both have ended; one in the middle of a request may not have.
        """
        deadline = time.monotonic() + timeout_seconds
        workers = self._tell_threads_to_end()
        ended = [worker.join(deadline - time.monotonic()) for worker in workers]
        return all(ended)

    def park(self, timeout_seconds: float) -> None:
        """Let go of threads, journal and leadership, keeping what can be taken up."""
        self.stop_threads(timeout_seconds)
        self.recorder.seal()
        self.flusher.release()
        self.refresher.park(timeout_seconds)

    def abandon(self) -> None:
        """Let go of what was inherited over a fork, without touching its contents."""
        if self._lock is not None:
            self._lock.abandon()

    def close(self, deadline: float) -> None:
        """Deliver what there is before *deadline*, and give everything up."""
        workers = self._tell_threads_to_end()
        self.recorder.close(deadline)
        # A parked process does not lead; at its end it may be the only one left.
        self.refresher.unpark()
        self.refresher.try_to_lead()
        self.flusher.flush_until(deadline)
        self.flusher.release()
        for worker in workers:
            worker.join(deadline - time.monotonic())
        self.refresher.park(max(0.0, deadline - time.monotonic()))
        self.transport.close()

    def _tell_threads_to_end(self) -> list[PeriodicWorker]:
        workers = [w for w in (self._refresh, self._flush) if w is not None]
        self._refresh = self._flush = None
        for worker in workers:
            worker.stop()
        return workers

    def _refresh_round(self) -> float:
        self.has_run = True
        folder = self.folder
        if folder is not None and folder.owner != os.geteuid():
            self._on_other_user()
            return self._reload_rate_seconds
        was_leading = self.refresher.is_leading
        delay_seconds = self.refresher.refresh_once()
        if self.refresher.is_leading and not was_leading:
            self._flush_if_overdue()
        if self.refresher.is_settled:
            self._settled.set()
        self._tell()
        self._contexts.refresh_one(self.transport.fetch_bundle)
        return delay_seconds

    def _flush_round(self) -> float:
        if self.refresher.is_leading and self.folder is not None:
            self.folder.mark_flush()
        delay_seconds = self.flusher.flush_once()
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


def _open_folder(
    token: str, options: ClientOptions, trouble: Trouble
) -> Optional[StateFolder]:
    try:
        folder = open_state_folder(
            options.state_dir,
            token=token,
            backend_url=options.backend_url,
            environment=options.environment,
        )
    except StateFolderError as error:
        trouble.begin(
            str(error),
            "liteguard: no state folder can be shared (%s): each process asks the "
            "backend for itself; set LITEGUARD_STATE_DIR to a folder of this user",
            error,
        )
        return None
    if folder.refused:
        trouble.begin(
            folder.refused,
            "liteguard: cannot use the state folder %s: using %s; set "
            "LITEGUARD_STATE_DIR to a folder that this user can write",
            folder.refused,
            folder.path,
        )
    return folder
