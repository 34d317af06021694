"""Brings bundles in: the leader from the backend, everyone else from the snapshot."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.backoff import Backoff
from liteguard.errors import (
    LiteguardError,
    SnapshotError,
)
from liteguard.evaluation.bundle import Bundle, decode_bundle
from liteguard.host.polls import PollLog, PollRecord
from liteguard.host.snapshots import Snapshot, SnapshotStore
from liteguard.process.logs import Trouble, logger

if TYPE_CHECKING:
    from liteguard.host.leadership import LeaderLock
    from liteguard.transport import BundleAnswer

_REFUSED = (401, 403)
_JITTER = 0.1
_LONGEST_INTERVAL_SECONDS = 24 * 3600.0
# While a host starts, followers look for the leader's first snapshot more often.
_START_HURRY = 0.05


@dataclass(frozen=True)
class Shared:
    """What lies in the state folder; a standalone process has none.

    Args:
        lock: Who leads.
        store: The snapshot.
    """

    lock: LeaderLock
    store: SnapshotStore


class Refresher:
    """One round of refreshing: try to lead, look at the snapshot, fetch if it is time.

    Threads take turns: one left behind by a fork may still be in its request when
    another begins. Nobody waits for a turn.

    Args:
        fetch: Asks the backend, given the etag in force.
        publish: Puts a bundle into force.
        polls: When the backend was last asked.
        shared: The state folder's files; ``None`` for a standalone process.
        boot_id: This boot, for the record of polls.
        refresh_rate_seconds: Shortest interval between two fetches of the host.
        reload_rate_seconds: Interval between two looks at the snapshot.
        quiet: Do not log that the backend cannot be reached.
        clock: Monotonic seconds, the same for all processes of the host.
    """

    def __init__(
        self,
        *,
        fetch: Callable[[str], BundleAnswer],
        publish: Callable[[Snapshot], None],
        polls: PollLog,
        shared: Optional[Shared],
        boot_id: str,
        refresh_rate_seconds: float,
        reload_rate_seconds: float,
        quiet: bool,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._fetch = fetch
        self._publish = publish
        self._polls = polls
        self._shared = shared
        self._boot_id = boot_id
        self._refresh_rate_seconds = refresh_rate_seconds
        self._reload_rate_seconds = reload_rate_seconds
        self._clock = clock
        self._uniform = uniform
        self._backoff = Backoff(
            min(1.0, refresh_rate_seconds), 2.0 * refresh_rate_seconds, uniform=uniform
        )
        self._backend = Trouble("liteguard: the backend answers again", quiet=quiet)
        self._disk = Trouble("liteguard: the state folder works again")
        self._in_force: Optional[Snapshot] = None
        self._is_outdated = False
        self._turn = threading.Lock()
        self.is_leading = False
        self.refreshes = 0
        self.last_error: Optional[str] = None

    @property
    def snapshot(self) -> Optional[Snapshot]:
        """The bundle in force, or ``None``."""
        return self._in_force

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for: a bundle, or a failure to get one."""
        record = self._polls.read()
        return self._in_force is not None or bool(record and record.failures)

    def refresh_once(self) -> float:
        """Do one round; return the seconds until the next. Blocks for one fetch."""
        if not self._turn.acquire(blocking=False):
            return self._reload_rate_seconds
        try:
            return self._round()
        finally:
            self._turn.release()

    def reload(self) -> None:
        """Put the snapshot into force if it changed. Blocks for a look at the file."""
        if self._turn.acquire(blocking=False):
            try:
                self._reload()
            finally:
                self._turn.release()

    def _round(self) -> float:
        self.try_to_lead()
        self._reload()
        if not self.is_leading:
            hurry = 1.0 if self.is_settled else _START_HURRY
            return self._reload_rate_seconds * hurry
        self._restore()
        if self._due_in() <= 0.0:
            self._ask()
        return min(self._reload_rate_seconds, max(0.0, self._due_in()))

    def _reload(self) -> None:
        if self._shared is None:
            return
        try:
            snapshot = self._shared.store.read_if_changed()
        except SnapshotError as error:
            self._disk.begin("snapshot", "liteguard: %s; keeping the last one", error)
            return
        if snapshot is None:
            return
        self._disk.end()
        last = self._in_force.generation if self._in_force else 0
        self._is_outdated = snapshot.generation < last
        if snapshot.generation > last:
            self._put_into_force(snapshot)

    def bundle_age_seconds(self) -> Optional[float]:
        """Return the seconds since the backend last confirmed the bundle, if it did."""
        record = self._polls.read()
        if record is None or record.confirmed_at is None:
            return None
        return max(0.0, self._clock() - record.confirmed_at)

    def park(self, timeout_seconds: float) -> None:
        """Give leadership up, and do not take it again before `unpark`."""
        if self._shared is not None:
            self._shared.lock.park(timeout_seconds)
            self.is_leading = False

    def unpark(self) -> None:
        """Take part in the election again."""
        if self._shared is not None:
            self._shared.lock.unpark()

    def _restore(self) -> None:
        """Write the snapshot again if it was deleted or replaced by an older one."""
        if self._shared is None or self._in_force is None:
            return
        if self._shared.store.is_missing or self._is_outdated:
            self._is_outdated = not self._write(self._in_force)

    def try_to_lead(self) -> None:
        """Lead from now on, if no other process does. Never waits."""
        if self._shared is None:
            self.is_leading = True
            return
        was_leading = self.is_leading
        try:
            self.is_leading = self._shared.lock.try_acquire()
        except OSError as error:
            self.is_leading = False
            self._disk.begin(
                "lock", "liteguard: cannot lock the state folder: %s", error
            )
        if self.is_leading and not was_leading:
            logger.info("liteguard: this process leads its host")

    def _due_in(self) -> float:
        record = self._polls.read()
        if record is None or (self._in_force is None and not record.failures):
            return 0.0
        # A record from before a jump of the clock must not silence the host.
        longest = max(self._interval(), record.due_at - record.asked_at)
        return min(record.due_at - self._clock(), longest)

    def _interval(self) -> float:
        asked = self._in_force.refresh_rate_seconds if self._in_force else None
        wanted = max(self._refresh_rate_seconds, asked or 0.0)
        return min(wanted, max(_LONGEST_INTERVAL_SECONDS, self._refresh_rate_seconds))

    def _ask(self) -> None:
        asked_at = self._clock()
        self.refreshes += 1
        try:
            answer = self._fetch(self._in_force.etag if self._in_force else "")
            # Parked meanwhile: another process leads now, and may know better.
            if answer.body is not None and self.is_leading:
                self._accept(decode_bundle(answer.body), answer.etag)
        except (LiteguardError, OSError) as error:
            self._after_failure(asked_at, error)
        else:
            self._after_success(asked_at)

    def _accept(self, bundle: Bundle, header_etag: str) -> None:
        for problem in bundle.problems:
            logger.warning("liteguard: %s", problem)
        last = self._in_force.generation if self._in_force else 0
        snapshot = Snapshot(
            # Wall-clock time, so that it still grows after the folder was deleted.
            generation=max(last + 1, int(time.time() * 1000)),
            etag=bundle.etag or header_etag,
            refresh_rate_seconds=bundle.refresh_rate_seconds,
            documents=bundle.documents,
        )
        if not self._write(snapshot):
            self._put_into_force(snapshot)

    def _write(self, snapshot: Snapshot) -> bool:
        """Write *snapshot*, read it back as a follower would, return if that worked."""
        if self._shared is None:
            return False
        try:
            self._shared.store.write(snapshot)
        except OSError as error:
            self._disk.begin(
                "write",
                "liteguard: cannot write the snapshot (%s): other processes keep the "
                "bundle they have",
                error.strerror,
            )
            return False
        self._reload()
        now = self._in_force
        return now is not None and now.generation == snapshot.generation

    def _put_into_force(self, snapshot: Snapshot) -> None:
        self._in_force = snapshot
        self._publish(snapshot)

    def _after_success(self, asked_at: float) -> None:
        self._backoff.succeed()
        self._backend.end()
        self.last_error = None
        # Jitter only shortens: no change arrives later than the interval.
        interval = self._interval() * self._uniform(1.0 - _JITTER, 1.0)
        self._polls.write(
            PollRecord(self._boot_id, asked_at, asked_at, asked_at + interval)
        )

    def _after_failure(self, asked_at: float, error: Exception) -> None:
        self.last_error = str(error)
        record = self._polls.read()
        self._backoff.failures = record.failures if record else 0
        status = getattr(error, "status_code", None)
        wait = self._backoff.refuse if status in _REFUSED else self._backoff.fail
        pause = wait(getattr(error, "retry_after_seconds", None))
        self._log_failure(error, status)
        self._polls.write(
            PollRecord(
                self._boot_id,
                asked_at,
                record.confirmed_at if record else None,
                self._clock() + pause,
                self._backoff.failures,
                self.last_error,
            )
        )

    def _log_failure(self, error: Exception, status: Optional[int]) -> None:
        kept = (
            "answering with the fallback"
            if self._in_force is None
            else ("answering with the last bundle")
        )
        level = logging.ERROR if status in _REFUSED else logging.WARNING
        self._backend.begin(
            str(status),
            "liteguard: cannot refresh the guards, %s: %s",
            kept,
            error,
            level=level,
        )
