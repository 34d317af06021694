"""Sends what is recorded: this process's own, and the leader also what others left."""

from __future__ import annotations

import logging
import math
import random
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.backoff import Backoff
from liteguard.errors import TransportError
from liteguard.process.logs import Trouble
from liteguard.process.turns import Busy, Turn
from liteguard.telemetry.adoption import show_life
from liteguard.telemetry.load import Load
from liteguard.telemetry.sources import Sources
from liteguard.telemetry.unadopted import UnadoptedCounts, encode_observations

if TYPE_CHECKING:
    from liteguard.telemetry.adoption import Adopter
    from liteguard.telemetry.recorder import Recorder
    from liteguard.transport import Transport

_MAX_BATCH = 500
# Processes of one deploy, and children of one server, do not flush all at once.
_JITTER = 0.1
_FIRST_JITTER = 0.5
_WAIT_FOR_TURN_SECONDS = 0.5
# A thread between two instructions waits for the interpreter this long, at the worst.
_RECORD_SECONDS = 0.05
# Most processor time that the flush thread takes at once, and of all the time.
_BURST_SECONDS = 0.02
_SHARE = 0.25
_REFUSED = (401, 403)
# What a backend says of a body that it will not take however often it is sent.
_UNACCEPTABLE = (400, 413, 422)


class Flusher:
    """Delivers signals and observations, one request after another.

    `flush_once` runs in the flush thread, `flush_until` in the thread of a caller;
    they take turns.

    Args:
        transport: Where to send.
        recorder: This process's records.
        unadopted: This process's counts.
        adopter: Claims what others left; ``None`` without a state folder.
        is_leading: Whether this process leads, so that it delivers for the dead.
        flush_rate_seconds: Most seconds between two flushes; jitter takes up to a tenth
            off, and up to half off the first.
        quiet: Do not log that the backend cannot be reached.
        clock: Monotonic seconds.
        uniform: Draws between two numbers; replaceable by a simulation.
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
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._transport = transport
        self._recorder = recorder
        self._unadopted = unadopted
        self._adopter = adopter
        self._sources = Sources(
            recorder.journals,
            adopter,
            is_leading=is_leading,
            life_sign_seconds=flush_rate_seconds,
        )
        self._flush_rate_seconds = flush_rate_seconds
        self._clock = clock
        self._uniform = uniform
        self._backoff = Backoff(1.0, max(60.0, flush_rate_seconds), uniform=uniform)
        self._trouble = Trouble(
            "liteguard: signals are delivered again", quiet=quiet, clock=clock
        )
        self._limit = _MAX_BATCH
        self._not_before = 0.0
        # Held while sending, and never waited for without a deadline: a thread left
        # behind by a fork may still be in the middle of its request.
        self._turn = Turn()
        self._earlier: Optional[Flusher] = None
        self.sent = 0
        self.dropped = 0
        self.last_error: Optional[str] = None

    def first_pause(self) -> float:
        """Return the seconds until a process that has just begun flushes."""
        return self._pause(_FIRST_JITTER)

    def flush_once(self) -> float:
        """Send what there is; return the seconds until the next flush.

        After a failure it waits as long as was asked, however often it is woken. It
        rests when it has used much of the processor, which is the application's.
        """
        for file in self._recorder.journals.files():
            show_life(file)
        pause = self._not_before - self._clock()
        if pause > 0.0:
            return min(pause, self._flush_rate_seconds)
        began = time.thread_time()
        try:
            is_done = self._turn.call(
                lambda: self._send_everything(math.inf, began + _BURST_SECONDS)
            )
        except Busy:
            return _WAIT_FOR_TURN_SECONDS
        except TransportError as error:
            return min(self._after_failure(error), self._flush_rate_seconds)
        self._after_success()
        if is_done:
            return self._pause(_JITTER)
        pause = (time.thread_time() - began) * (1.0 / _SHARE - 1.0)
        self._not_before = self._clock() + pause
        return pause

    def flush_until(self, deadline: float) -> bool:
        """Send what there is before *deadline* (monotonic seconds).

        Returns:
            Whether everything of this process was delivered. What was not stays in
            the journal for the next flush or the next leader.
        """
        try:
            self._turn.call(
                lambda: self._send_the_last(deadline),
                max(0.0, deadline - self._clock()),
            )
        except Busy:
            return False
        except TransportError as error:
            self._after_failure(error)
            return False
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
        if not self._take_over(successor) or not self._turn.keep():
            return False
        successor.journals.take_over(self._recorder.journals)
        return True

    def release(self) -> None:
        """Leave adopted journals to the next leader."""
        if self._adopter is not None:
            self._adopter.release()

    def _pause(self, jitter: float) -> float:
        return self._flush_rate_seconds * self._uniform(1.0 - jitter, 1.0)

    def _send_everything(self, deadline: float, rest_at: float = math.inf) -> bool:
        """Send what there is; return ``False`` if there was more at *rest_at*.

        Args:
            deadline: When to send nothing more, in monotonic seconds.
            rest_at: When to rest, in seconds of this thread's processor time.
        """
        self._take_over(self._recorder)
        self._recorder.journals.try_disk_again()
        self._recorder.drain()
        self._sources.claim()
        try:
            while self._clock() < deadline and self._send_load(deadline):
                if time.thread_time() >= rest_at:
                    self._sources.bound()
                    return False
        except TransportError:
            self._sources.bound()
            raise
        except BaseException:
            self._sources.recover()
            raise
        self._recorder.journals.forget_delivered()
        if self._clock() < deadline:
            self._send_observations(deadline)
        return True

    def _send_the_last(self, deadline: float) -> None:
        self._send_everything(deadline)
        has_time = self._clock() + _RECORD_SECONDS < deadline
        if self._sources.has_holes and has_time:
            # A thread was in the middle of a record: let it end, then go on.
            time.sleep(_RECORD_SECONDS)
            self._send_everything(deadline)

    def _take_over(self, successor: Recorder) -> bool:
        if self._earlier is not None and self._earlier.retire(successor):
            self._earlier = None
        return self._earlier is None

    def _send_load(self, deadline: float) -> bool:
        """Send one request's worth, and return whether there may be more."""
        load = Load(self._limit)
        try:
            self._sources.fill(load)
            if len(load):
                load.carry(self._recorder.journals.take_lost())
            return load.has_work and self._deliver(load, deadline)
        finally:
            self._sources.put_back(load)

    def _deliver(self, load: Load, deadline: float) -> bool:
        count, is_full = len(load), load.is_full
        try:
            if count:
                self._transport.send_signals(load.body(), deadline=deadline)
        except TransportError as error:
            is_unacceptable = getattr(error, "status_code", None) in _UNACCEPTABLE
            if not is_unacceptable or count > 1:
                self._recorder.journals.count_lost(load.carried)
            if not is_unacceptable:
                raise
            self._limit = max(1, count // 2)
            if count > 1:
                return True
            # One that the backend never takes must not hold up the rest. If it takes
            # none at all, one is lost each time that it is asked.
            self._recorder.journals.count_lost(load.dropped + 1)
            load.settle()
            raise
        if count:
            self.sent += count
            self.dropped += load.dropped
        else:
            self._recorder.journals.count_lost(load.dropped)
        load.settle()
        self._limit = min(_MAX_BATCH, self._limit * 2)
        return is_full

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
        self._not_before = self._clock() + pause
        return pause
