"""Sends what is recorded: this process's own, and the leader also what others left."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.backoff import Backoff
from liteguard.errors import TransportError, TransportRejected
from liteguard.process.logs import Trouble
from liteguard.telemetry.adoption import show_life
from liteguard.telemetry.signals import encode_signal
from liteguard.telemetry.unadopted import UnadoptedCounts, encode_observations

if TYPE_CHECKING:
    from pathlib import Path

    import orjson

    from liteguard.telemetry.adoption import Adopter
    from liteguard.telemetry.journal_file import Batch, JournalFile, Record
    from liteguard.telemetry.recorder import Recorder
    from liteguard.transport import Transport

_MAX_BATCH = 500
_WAIT_FOR_TURN_SECONDS = 0.5
# A thread between two instructions waits for the interpreter this long, at the worst.
_RECORD_SECONDS = 0.05
_REFUSED = (401, 403)
# What a backend says of a body that it will not take however often it is sent.
_UNACCEPTABLE = (400, 413, 422)


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
        # By journal: what was settled when a record was last found missing.
        self._holes: dict[str, int] = {}
        self._limit = _MAX_BATCH
        self._undelivered = 0
        self._not_before = 0.0
        # Held while sending, and never waited for without a deadline: a thread left
        # behind by a fork may still be in the middle of its request.
        self._turn = threading.Lock()
        self._earlier: Optional[Flusher] = None
        self.sent = 0
        self.dropped = 0
        self.last_error: Optional[str] = None

    def flush_once(self) -> float:
        """Send what there is; return the seconds until the next flush.

        After a failure it waits as long as was asked, however often it is woken.
        """
        for file in self._recorder.files():
            show_life(file)
        pause = self._not_before - time.monotonic()
        if pause > 0.0:
            return min(pause, self._flush_rate_seconds)
        if not self._turn.acquire(blocking=False):
            return _WAIT_FOR_TURN_SECONDS
        try:
            self._send_everything(math.inf)
        except TransportError as error:
            return min(self._after_failure(error), self._flush_rate_seconds)
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
            if self._holes and time.monotonic() + _RECORD_SECONDS < deadline:
                # A thread was in the middle of a record: let it end, then go on.
                time.sleep(_RECORD_SECONDS)
                self._send_everything(deadline)
        except TransportError as error:
            self._after_failure(error)
            return False
        finally:
            self._turn.release()
        self._after_success()
        return self._earlier is None and self._recorder.buffered == 0

    def succeed(self, earlier: Flusher) -> None:
        """Deliver what *earlier*, of this process, has in memory. Never blocks.

        Begins when *earlier* has the answer to its last request.
        """
        self._earlier = earlier

    def retire(self, successor: Recorder) -> bool:
        """Leave what is in memory to *successor*; return ``False`` while still sending.

        Never blocks. Having retired, this sends nothing more.
        """
        # The turn is never given back.
        if not self._take_over(successor) or not self._turn.acquire(blocking=False):
            return False
        dropped = self._undelivered + self._recorder.take_overflow()
        successor.take_over(self._recorder, dropped, self._is_deleted)
        return True

    def _is_deleted(self, path: Path) -> bool:
        return self._adopter is not None and self._adopter.is_deleted(path)

    def release(self) -> None:
        """Leave adopted journals to the next leader."""
        if self._adopter is not None:
            self._adopter.release()

    def _send_everything(self, deadline: float) -> None:
        self._take_over(self._recorder)
        self._recorder.drain()
        for file in self._recorder.files():
            if not file.is_finished:
                self._deliver(file, deadline, is_growing=True)
            elif self._adopter is None or file.path is None:
                self._deliver(file, deadline)
            else:
                # Sealed, so that the leader may be claiming it as well.
                self._adopter.claim(file.path)
                if self._is_deleted(file.path):
                    # With its folder, perhaps. What is mapped here is all there is.
                    self._deliver(file, deadline)
        if self._adopter is not None:
            self._adopt(self._adopter, deadline)
        self._recorder.forget_delivered()
        if time.monotonic() < deadline:
            self._send_observations(deadline)

    def _take_over(self, successor: Recorder) -> bool:
        if self._earlier is not None and self._earlier.retire(successor):
            self._earlier = None
        return self._earlier is None

    def _adopt(self, adopter: Adopter, deadline: float) -> None:
        if self._is_leading():
            adopter.claim_all(life_sign_seconds=self._flush_rate_seconds)
            self._undelivered += adopter.drop_excess()
        for file in adopter.claimed():
            self._deliver(file, deadline)
            if file.unsettled() == 0:
                adopter.finish(file)

    def _deliver(
        self, file: JournalFile, deadline: float, *, is_growing: bool = False
    ) -> None:
        has_more = True
        while has_more and time.monotonic() < deadline:
            file.set_in_flight(is_in_flight=True)
            try:
                # Sealed a moment ago: from now on it belongs to who claims it.
                is_lost = is_growing and file.is_finished
                has_more = not is_lost and self._deliver_batch(file, deadline)
            finally:
                file.set_in_flight(is_in_flight=False)

    def _deliver_batch(self, file: JournalFile, deadline: float) -> bool:
        """Send one batch and return whether there may be more."""
        batch = self._read(file)
        if batch.last == file.acknowledged:
            return False
        self._undelivered += self._recorder.take_overflow()
        dropped = self._undelivered + batch.dropped
        signals = self._encode(file, batch.records, dropped)
        damaged = len(batch.records) - len(signals)
        try:
            still_dropped = self._send(signals, dropped, deadline)
        except TransportRejected as error:
            if error.status_code not in _UNACCEPTABLE:
                raise
            self._limit = max(1, len(batch.records) // 2)
            if len(batch.records) > 1:
                return True
            # One that the backend never takes must not hold up the rest. If it takes
            # none at all, one is lost each time that it is asked.
            self._settle(file, batch, dropped + 1)
            raise
        self._settle(file, batch, still_dropped + damaged)
        is_full = len(batch.records) == self._limit
        self._limit = min(_MAX_BATCH, self._limit * 2)
        return is_full

    def _read(self, file: JournalFile) -> Batch:
        nonce, settled = file.owner.nonce, file.acknowledged
        # A record that was being written a whole flush ago never will be.
        is_new = self._holes.pop(nonce, None) != settled
        waits = is_new and file.owner.identity.is_alive()
        batch = file.read(self._limit, waits_for_holes=waits)
        if batch.last == settled and file.unsettled():
            self._holes[nonce] = settled
        return batch

    def _send(
        self, signals: list[orjson.Fragment], dropped: int, deadline: float
    ) -> int:
        """Send signals, if there are any; return what is still to be reported."""
        if not signals:
            return dropped
        self._transport.send_signals(signals, deadline=deadline)
        self.sent += len(signals)
        self.dropped += dropped
        return 0

    def _settle(self, file: JournalFile, batch: Batch, undelivered: int) -> None:
        self._undelivered = undelivered
        file.acknowledge(batch.last)

    def _encode(
        self, file: JournalFile, records: list[Record], dropped: int
    ) -> list[orjson.Fragment]:
        signals: list[orjson.Fragment] = []
        for record in records:
            with contextlib.suppress(ValueError):  # a damaged record: counted as lost
                # The count rides on the first signal alone, so it is reported once.
                signals.append(encode_signal(file, record, 0 if signals else dropped))
        return signals

    def _send_observations(self, deadline: float) -> None:
        seen = self._unadopted.take()
        if not seen:
            return
        try:
            observations = encode_observations(seen)
            self._transport.send_observations(observations, deadline=deadline)
        except TransportError as error:
            if getattr(error, "status_code", None) not in _UNACCEPTABLE:
                self._unadopted.give_back(seen)
            raise

    def _after_success(self) -> None:
        self._backoff.succeed()
        self._not_before = 0.0
        self._trouble.end()
        self.last_error = None

    def _after_failure(self, error: TransportError) -> float:
        self.last_error = str(error)
        status = getattr(error, "status_code", None)
        level = logging.ERROR if status in _REFUSED else logging.WARNING
        fate = "one is dropped" if status in _UNACCEPTABLE else "they are kept"
        self._trouble.begin(
            str(status),
            "liteguard: cannot deliver signals, %s: %s",
            fate,
            error,
            level=level,
        )
        wait = self._backoff.refuse if status in _REFUSED else self._backoff.fail
        pause = wait(getattr(error, "retry_after_seconds", None))
        self._not_before = time.monotonic() + pause
        return pause
