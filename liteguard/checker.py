"""From question to answer: table, rule, limit, record.

Nothing here waits or raises because of data. What it reads of its client is replaced
whole, one attribute at a time, so that no check needs a lock.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Callable, Optional

from liteguard.evaluation.decision import GuardDecisionReason
from liteguard.recall import Epoch, key_of, note
from liteguard.recording import Recording
from liteguard.telemetry.execution import current_execution
from liteguard.telemetry.happening import OPEN
from liteguard.telemetry.properties import encode_properties

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from liteguard.calls import Call
    from liteguard.contexts import ProtectedBundles
    from liteguard.evaluation.table import CompiledGuard, GuardTable
    from liteguard.host.rate_limits import RateLimits
    from liteguard.process.fork import Flag
    from liteguard.recall import Key, Recalled
    from liteguard.subject import Subject
    from liteguard.telemetry.execution import SignalRef
    from liteguard.telemetry.waiting import Standby
    from liteguard.verdict import Answer

_MATCHED = GuardDecisionReason.MATCHED_RULE
_DEFAULT = GuardDecisionReason.DEFAULT_VALUE


class Checker:
    """Answers the checks of one client. Thread-safe.

    Args:
        flag: Reads 1 while this process has nothing to revive.
        revive: Called when *flag* reads 0; returns quickly and never raises; tells
            whether checks are to be recorded.
        contexts: Bundles of protected contexts.
        limits: Rate limits of guards.
        standby: Takes records while this process has no recorder.
        fallback: Answer while no bundle is there.
        unadopted_open: Answer for a guard that nobody has adopted.
        disable_measurement: Leave process readings out.
    """

    def __init__(
        self,
        *,
        flag: Flag,
        revive: Callable[[], bool],
        contexts: ProtectedBundles,
        limits: RateLimits,
        standby: Standby,
        fallback: bool,
        unadopted_open: bool,
        disable_measurement: bool,
    ) -> None:
        self.flag = flag
        self._revive = revive
        self._contexts = contexts
        self._limits = limits
        self._standby = Recording(standby, standby, 0)
        self._fallback = fallback
        self._unadopted: Answer = (
            unadopted_open,
            GuardDecisionReason.UNADOPTED,
            -1,
            None,
            b"",
            False,
            None,
        )
        self._disable_measurement = disable_measurement
        self._table: Optional[GuardTable] = None
        self._recording: Optional[Recording] = None
        self.epoch: Optional[Epoch] = None
        """For which checks may be recalled, see `GuardChecks.is_open`."""

    def check(
        self, subject: Subject, name: str, call: Call, frame: Optional[FrameType]
    ) -> Answer:
        """Answer a check, and record it.

        Args:
            subject: For whom.
            name: The guard.
            call: What the call adds.
            frame: Where the caller stands; ``None`` records nothing and uses up no
                limit.

        Returns:
            The fields of a `Verdict`.

        Raises:
            TypeError: *name* is no str.
        """
        if not isinstance(name, str):
            raise TypeError(f"a guard's name must be a str, got {type(name).__name__}")
        recording = self._recording if self.flag[0] else None
        if recording is None:
            recording = self._revived()
        context = subject.protected_context
        table = self._table if context is None else self._contexts.table(context)
        if table is None:
            return self._without_bundle(call)
        guard = table.lookup(name)
        if guard is None or not guard.adopted:
            if recording is not None and frame is not None:
                recording.unadopted.count(name, time.time())
            return self._unadopted
        properties: Mapping[str, Any] = subject.values
        if call[0]:
            properties = {**properties, **call[0]} if properties else call[0]
        is_open, index = guard.evaluate(properties)
        reason = _MATCHED if index >= 0 else _DEFAULT
        limits = b""
        if is_open and guard.is_limited:
            is_open, limits = self._limits.admit(
                guard,
                properties,
                consumes=frame is not None,
                is_recorded=frame is not None and recording is not None,
            )
            reason = reason if is_open else GuardDecisionReason.RATE_LIMITED
        if recording is None or frame is None:
            return is_open, reason, index, properties, b"", False, None
        encoded = (
            encode_properties(properties) if call[0] else subject.encoded_properties()
        )
        disables = self._disable_measurement or guard.disable_measurement or call[2]
        signal = recording.recorder.record_check(
            name, OPEN if is_open else 0, encoded, frame, not disables, limits
        )
        if recording is self._standby:
            self._pass_on()
        return is_open, reason, index, properties, encoded, not disables, signal

    def _without_bundle(self, call: Call) -> Answer:
        fallback = self._fallback if call[1] is None else call[1]
        return fallback, GuardDecisionReason.FALLBACK, -1, None, b"", False, None

    def recall(
        self, subject: Subject, name: str, frame: FrameType
    ) -> Optional[tuple[bool, int]]:
        """Make a check again that was made before at the same place, and record it.

        No property of a subject ever changes, so neither does its answer within an
        epoch.

        Args:
            subject: For whom.
            name: The guard.
            frame: Where the caller stands.

        Returns:
            The answer and the index of the rule that decided, -1 if none did; ``None``
            if `check_anew` must be called.
        """
        recalled, epoch = subject.recalled.get(name), self.epoch
        if recalled is None or epoch is None or not self.flag[0]:
            return None
        token, code, instruction, is_open, index, site, properties = recalled
        if (
            token is epoch.token
            and frame.f_code is code
            and frame.f_lasti == instruction
            and current_execution.get() is None
            and epoch.journal.repeat(time.time(), site, properties)
        ):
            return is_open, index
        return None

    def check_anew(
        self,
        kept: dict[Key, Optional[Recalled]],
        key: Key,
        subject: Subject,
        name: str,
        call: Call,
        frame: FrameType,
    ) -> Answer:
        """Make a check that could not be recalled, so that it can be the time after.

        Args:
            kept: What the subject keeps of such checks.
            key: What this one is known by there.
            subject: For whom.
            name: The guard.
            call: What the call adds: properties, if anything.
            frame: Where the caller stands.

        Returns:
            What `check` does.
        """
        table = self._table
        answer = self.check(subject, name, call, frame)
        if answer[-1] is None:
            return answer
        if key not in kept:
            # Most scopes live for one request, and ask for most guards once.
            note(kept, key)
        elif key is name or self.key_of(name, call[0]) == key:
            # Else another thread has changed them before they were copied.
            epoch = self._epoch_of(table, answer[-1])
            if epoch and self._is_constant(subject, epoch.table.lookup(name)):
                kept[key] = epoch.recalled(name, frame, answer)
        return answer

    def _epoch_of(
        self, table: Optional[GuardTable], signal: SignalRef
    ) -> Optional[Epoch]:
        """Return the epoch of a check that was answered by *table*, if it lasts."""
        recording, epoch = self._recording, self.epoch
        if table is None or recording is None:
            return None
        journal = recording.recorder.journal_of(signal)
        if journal is None:
            return None
        if epoch is None or epoch.journal is not journal or epoch.table is not table:
            epoch = self.epoch = Epoch(table, journal)
            # Whoever puts another in force does so before ending the epoch; so one of
            # the two threads sees what the other did.
            if self._table is not table or self._recording is not recording:
                self.epoch = epoch = None
        return epoch

    @property
    def table(self) -> Optional[GuardTable]:
        """The table in force, if there is one."""
        return self._table

    @table.setter
    def table(self, table: Optional[GuardTable]) -> None:
        self._table = table
        self.epoch = None

    @property
    def recording(self) -> Optional[Recording]:
        """Where checks are recorded, while this process runs."""
        return self._recording

    @recording.setter
    def recording(self, recording: Optional[Recording]) -> None:
        self._recording = recording
        self.epoch = None

    def _pass_on(self) -> None:
        """Write what was recorded on standby, if there is a recorder by now."""
        recording = self.recording
        if recording is not None and recording.pid == os.getpid():
            recording.recorder.drain()

    def _revived(self) -> Optional[Recording]:
        """Revive, and return where to record meanwhile; nowhere if nothing runs."""
        if not self._revive():
            return None
        recording = self.recording
        if recording is not None and recording.pid == os.getpid():
            return recording
        return self._standby

    encode = staticmethod(encode_properties)
    key_of = staticmethod(key_of)

    def _is_constant(self, subject: Subject, guard: Optional[CompiledGuard]) -> bool:
        """Whether all checks of a guard for a subject are answered and recorded alike.

        So they are if only properties decide, and if readings belong to them as they
        belong to most.
        """
        return (
            guard is not None
            and subject.protected_context is None
            and not guard.is_limited
            and guard.disable_measurement <= self._disable_measurement
        )
