"""Sends what is recorded: this process's own, and the leader also what others left."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.backoff import Backoff
from liteguard.errors import TransportError, TransportRejected
from liteguard.process.logs import Trouble
from liteguard.telemetry.signals import encode_signal
from liteguard.telemetry.unadopted import UnadoptedCounts, encode_observations

if TYPE_CHECKING:
    import orjson

    from liteguard.telemetry.adoption import Adopter
    from liteguard.telemetry.journal_file import JournalFile, Record
    from liteguard.telemetry.recorder import Recorder
    from liteguard.transport import Transport

_MAX_BATCH = 500
_WAIT_FOR_TURN_SECONDS = 0.5
_REFUSED = (401, 403)


class Flusher:
    """Delivers signals and observations, one batch after another.

    `flush_once` runs in the flush thread, `flush_until` in the thread of a caller;
    they take turns.

    Args:
        transport: Where to send.
        recorder: This process's journals.
        unadopted: This process's counts.
        adopter: Claims what others left; ``None`` without a state folder.
        is_leading: Whether this process leads, so that it delivers for the dead.
        flush_rate_seconds: Between two flushes.
        quiet: Do not log that the backend cannot be reached.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        recorder: Recorder,
        unadopted: UnadoptedCounts,
        adopter: Optional[Adopter],
        is_leading: Callable[[], bool],
        flush_rate_seconds: float,
        quiet: bool,
    ) -> None:
        self._transport = transport
        self._recorder = recorder
        self._unadopted = unadopted
        self._adopter = adopter
        self._is_leading = is_leading
        self._flush_rate_seconds = flush_rate_seconds
        self._backoff = Backoff(1.0, max(60.0, flush_rate_seconds))
        self._trouble = Trouble("liteguard: signals are delivered again", quiet=quiet)
        self._hole: Optional[tuple[str, int]] = None
        self._undelivered = 0
        # Held while sending, and never waited for without a deadline: a thread left
        # behind by a fork may still be in the middle of its request.
        self._turn = threading.Lock()
        self.sent = 0
        self.dropped = 0
        self.last_error: Optional[str] = None

    def flush_once(self) -> float:
        """Send what there is; return the seconds until the next flush."""
        if not self._turn.acquire(blocking=False):
            return _WAIT_FOR_TURN_SECONDS
        try:
            self._send_everything(deadline=None)
        except TransportError as error:
            return self._after_failure(error)
        finally:
            self._turn.release()
        self._after_success()
        return self._flush_rate_seconds

    def flush_until(self, deadline: float) -> bool:
        """Send what there is before *deadline* (monotonic seconds).

        Returns:
            Whether everything of this process was delivered. What was not stays in
            the journal for the next flush or the next leader.
        """
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return False
        try:
            self._send_everything(deadline)
        except TransportError as error:
            self._after_failure(error)
            return False
        finally:
            self._turn.release()
        self._after_success()
        return self._recorder.buffered == 0

    def release(self) -> None:
        """Leave adopted journals to the next leader."""
        if self._adopter is not None:
            self._adopter.release()

    def _send_everything(self, deadline: Optional[float]) -> None:
        self._recorder.drain()
        for file in self._recorder.files():
            if not file.is_finished:
                self._deliver(file, deadline)
            elif self._own(file):
                self._finish(file, deadline)
        if self._adopter is not None:
            if self._is_leading():
                self._adopter.claim_all()
            for file in self._adopter.claimed():
                self._finish(file, deadline)
        self._send_observations()

    def _own(self, file: JournalFile) -> bool:
        """Make a journal that this process sealed its own again, against the leader."""
        if self._adopter is None or file.path is None:
            return True
        self._recorder.forget(file)
        self._adopter.claim(file.path)
        return False

    def _finish(self, file: JournalFile, deadline: Optional[float]) -> None:
        self._deliver(file, deadline)
        if file.unsettled() == 0:
            self._recorder.forget(file)
            if self._adopter is not None:
                self._adopter.finish(file)

    def _deliver(self, file: JournalFile, deadline: Optional[float]) -> None:
        has_more = True
        while has_more and (deadline is None or time.monotonic() < deadline):
            file.set_in_flight(is_in_flight=True)
            try:
                has_more = self._deliver_batch(file)
            finally:
                file.set_in_flight(is_in_flight=False)

    def _deliver_batch(self, file: JournalFile) -> bool:
        """Send one batch and return whether there may be more."""
        place = (file.owner.nonce, file.acknowledged)
        # A record that was being written a whole flush ago never will be.
        batch = file.read(_MAX_BATCH, waits_for_holes=place != self._hole)
        if batch.last == file.acknowledged:
            self._hole = place if file.unsettled() else None
            return False
        self._undelivered += self._take_overflow()
        dropped = self._undelivered + batch.dropped
        signals = self._encode(file, batch.records, dropped)
        damaged = len(batch.records) - len(signals)
        if signals:
            self._transport.send_signals(signals)
            self.sent += len(signals)
            self.dropped += dropped
            dropped = 0
        self._undelivered = dropped + damaged
        file.acknowledge(batch.last)
        return len(batch.records) == _MAX_BATCH

    def _encode(
        self, file: JournalFile, records: list[Record], dropped: int
    ) -> list[orjson.Fragment]:
        signals: list[orjson.Fragment] = []
        for record in records:
            with contextlib.suppress(ValueError):  # a damaged record: counted as lost
                # The count rides on the first signal alone, so it is reported once.
                signals.append(encode_signal(file, record, 0 if signals else dropped))
        return signals

    def _take_overflow(self) -> int:
        overflowed, self._recorder.overflowed = self._recorder.overflowed, 0
        return overflowed

    def _send_observations(self) -> None:
        seen = self._unadopted.take()
        if not seen:
            return
        try:
            self._transport.send_observations(encode_observations(seen))
        except TransportError:
            self._unadopted.give_back(seen)
            raise

    def _after_success(self) -> None:
        self._backoff.succeed()
        self._trouble.end()
        self.last_error = None

    def _after_failure(self, error: TransportError) -> float:
        self.last_error = str(error)
        status = getattr(error, "status_code", None)
        level = logging.ERROR if status in _REFUSED else logging.WARNING
        self._trouble.begin(
            str(status),
            "liteguard: cannot deliver signals, they are kept: %s",
            error,
            level=level,
        )
        if isinstance(error, TransportRejected):
            wait = self._backoff.refuse if status in _REFUSED else self._backoff.fail
            return wait(error.retry_after_seconds)
        return self._backoff.fail()
