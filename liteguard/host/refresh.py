"""Brings bundles in: the leader from the backend, everyone else from the snapshot."""

from __future__ import annotations

import contextlib
import logging
import random
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.backoff import Backoff
from liteguard.errors import BundleError, LiteguardError
from liteguard.evaluation.bundle import decode_bundle
from liteguard.host.files import PASSES_BY_ITSELF
from liteguard.host.polls import PollLog, PollRecord
from liteguard.process.clock import host_seconds
from liteguard.process.logs import Trouble, logger
from liteguard.process.turns import Busy, Turn

if TYPE_CHECKING:
    from liteguard.evaluation.bundle import Bundle
    from liteguard.host.in_force import BundleInForce
    from liteguard.host.leadership import LeaderLock
    from liteguard.host.snapshots import Snapshot
    from liteguard.transport import BundleAnswer

_REFUSED = (401, 403)
# Hosts of one deploy do not ask all at once the second time.
_JITTER = 0.1
_FIRST_JITTER = 0.5
_LONGEST_INTERVAL_SECONDS = 24 * 3600.0
# While a host starts, followers look for the leader's first snapshot more often.
_START_HURRY = 0.05


class Refresher:
    """One round of refreshing: try to lead, look at the snapshot, fetch if it is time.

    Threads take turns: one left behind by a fork may still be in its request when
    another begins. Nobody waits for a turn.

    Args:
        fetch: Asks the backend, given the etag in force.
        bundle: The bundle in force, and the snapshot.
        polls: When the backend was last asked.
        lock: Who leads; ``None`` for a standalone process.
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
        bundle: BundleInForce,
        polls: PollLog,
        lock: Optional[LeaderLock],
        boot_id: str,
        refresh_rate_seconds: float,
        reload_rate_seconds: float,
        quiet: bool,
        clock: Callable[[], float] = host_seconds,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._fetch = fetch
        self._polls = polls
        self._lock = lock
        self._boot_id = boot_id
        self._refresh_rate_seconds = refresh_rate_seconds
        self._reload_rate_seconds = reload_rate_seconds
        self._clock = clock
        self._uniform = uniform
        self._backoff = Backoff(
            min(1.0, refresh_rate_seconds), 2.0 * refresh_rate_seconds, uniform=uniform
        )
        self._backend = Trouble(
            "liteguard: the backend answers again", quiet=quiet, clock=clock
        )
        self._locking = Trouble(
            "liteguard: the state folder can be locked again", clock=clock
        )
        self._bundle = bundle
        self._turn = Turn()
        self._has_failed = False
        self.is_leading = False
        self.has_lost_folder = False
        """Whether the state folder is gone, or cannot be locked: nobody can lead."""
        self.refreshes = 0
        self.last_error: Optional[str] = None

    @property
    def snapshot(self) -> Optional[Snapshot]:
        """The bundle in force, or ``None``."""
        return self._bundle.snapshot

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for: a fresh bundle, or no hope of one.

        What is older than an interval is in force meanwhile, and about to be replaced.
        """
        record = self._polls.read()
        if self._has_failed or record is None:
            return self._has_failed
        now = self._clock()
        if record.failures:
            return now < record.due_at
        return self._bundle.is_whole and now < record.asked_at + self._interval()

    @property
    def is_due(self) -> bool:
        """Whether the backend should be asked by now, by whoever leads."""
        return self._due_in() <= 0.0

    def refresh_once(self) -> float:
        """Do one round; return the seconds until the next. Blocks for one fetch."""
        with contextlib.suppress(Busy):
            return self._turn.call(self._round)
        return self._reload_rate_seconds

    def reload(self) -> None:
        """Put the snapshot into force if it changed. Blocks for a look at the file."""
        with contextlib.suppress(Busy):
            self._turn.call(self._bundle.reload)

    def _round(self) -> float:
        self.try_to_lead()
        self._bundle.reload()
        if self.is_leading or self._bundle.is_ahead:
            self._bundle.restore()
        if not self.is_leading:
            return self._follow()
        if self._due_in() <= 0.0:
            self._ask()
        return min(self._reload_rate_seconds, max(0.0, self._due_in()))

    def _follow(self) -> float:
        record = self._polls.read()
        self.last_error = record.error if record else None
        is_starting = self.snapshot is None and not self.is_settled
        return self._reload_rate_seconds * (_START_HURRY if is_starting else 1.0)

    def bundle_age_seconds(self) -> Optional[float]:
        """Return the seconds since the backend last confirmed the bundle, if it did."""
        record = self._polls.read()
        if record is None or record.confirmed_at is None:
            return None
        return max(0.0, self._clock() - record.confirmed_at)

    def park(self, timeout_seconds: float) -> None:
        """Give leadership up, and do not take it again before `unpark`."""
        if self._lock is not None:
            self._lock.park(timeout_seconds)
            self.is_leading = False

    def unpark(self) -> None:
        """Take part in the election again."""
        if self._lock is not None:
            self._lock.unpark()

    def try_to_lead(self) -> None:
        """Lead from now on, if no other process does. Never waits."""
        if self._lock is None:
            self.is_leading = True
            return
        was_leading = self.is_leading
        try:
            self.is_leading = self._lock.try_acquire()
        except OSError as error:
            self.is_leading = False
            self.has_lost_folder = error.errno not in PASSES_BY_ITSELF
            self._locking.begin(
                "lock",
                "liteguard: cannot lock the state folder, looking for another: %s",
                error,
            )
        else:
            self.has_lost_folder = False
            self._locking.end()
        if self.is_leading and not was_leading:
            logger.info("liteguard: this process leads its host")

    def _due_in(self) -> float:
        record = self._polls.read()
        if record is None:
            return 0.0
        if record.failures:
            return record.due_at - self._clock()
        if not self._bundle.is_whole:
            return 0.0
        # An earlier leader may have kept a longer interval than ours.
        due_at = min(record.due_at, record.asked_at + self._interval())
        return due_at - self._clock()

    def _interval(self) -> float:
        asked = self.snapshot.refresh_rate_seconds if self.snapshot else None
        wanted = max(self._refresh_rate_seconds, asked or 0.0)
        return min(wanted, max(_LONGEST_INTERVAL_SECONDS, self._refresh_rate_seconds))

    def _ask(self) -> None:
        asked_at = self._clock()
        self.refreshes += 1
        is_whole = self._bundle.is_whole
        try:
            answer = self._fetch(self._bundle.etag)
            if not self._still_leads():
                return
            if answer.body is not None:
                self._bundle.accept(_decode(answer.body), answer.etag)
            elif not is_whole:
                raise BundleError("the backend sent none, and there is none here")
        except (LiteguardError, OSError) as error:
            self._after_failure(asked_at, error)
        else:
            self._after_success(asked_at)

    def _still_leads(self) -> bool:
        """Whether no other process may lead by now, and know better."""
        if self.is_leading and self._lock is not None:
            self.is_leading = self._lock.is_held
        return self.is_leading

    def _after_success(self, asked_at: float) -> None:
        self._backoff.succeed()
        self._backend.end()
        self.last_error = None
        self._has_failed = False
        # Jitter only shortens: no change arrives later than the interval.
        jitter = _FIRST_JITTER if self._polls.read() is None else _JITTER
        interval = self._interval() * self._uniform(1.0 - jitter, 1.0)
        self._polls.write(
            PollRecord(self._boot_id, asked_at, asked_at, asked_at + interval)
        )

    def _after_failure(self, asked_at: float, error: Exception) -> None:
        self.last_error = str(error)
        self._has_failed = True
        if not self._still_leads():
            return
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
        kept = "the fallback" if self.snapshot is None else "the last bundle"
        level = logging.ERROR if status in _REFUSED else logging.WARNING
        self._backend.begin(
            str(status),
            "liteguard: cannot refresh the guards, answering with %s: %s",
            kept,
            error,
            level=level,
        )


def _decode(body: bytes) -> Bundle:
    try:
        return decode_bundle(body)
    except BundleError as error:
        raise BundleError(
            f"the answer is no bundle of guards ({error}): check "
            "LITEGUARD_BACKEND_URL and whether something else answers there",
            field=error.field,
        ) from error
