"""From question to answer: table, rule, limit, record.

Nothing here waits or raises because of data. What it reads of its client is replaced
whole, one attribute at a time, so that no check needs a lock.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Protocol, Union

from liteguard.evaluation.decision import GuardDecisionReason
from liteguard.host.rate_limits import RateLimits, partition_key
from liteguard.telemetry.happening import OPEN, Happening
from liteguard.telemetry.properties import encode_properties

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from liteguard.calls import Call
    from liteguard.contexts import ProtectedBundles
    from liteguard.evaluation.table import CompiledGuard, GuardTable
    from liteguard.process.fork import Flag
    from liteguard.telemetry.execution import SignalRef
    from liteguard.telemetry.recorder import Recorder
    from liteguard.telemetry.unadopted import UnadoptedCounts
    from liteguard.telemetry.waiting import Standby
    from liteguard.types import ProtectedContext

_MATCHED = GuardDecisionReason.MATCHED_RULE
_DEFAULT = GuardDecisionReason.DEFAULT_VALUE


class Subject(Protocol):
    """For whom a check is made; scopes implement it."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """The properties, never edited."""

    @property
    def protected_context(self) -> Optional[ProtectedContext]:
        """The protected context bound to it, if one is."""

    def encoded_properties(self) -> bytes:
        """Return the properties as JSON, encoded once."""


class Verdict(NamedTuple):
    """An answer, with what a decision and an execution need beside it."""

    is_open: bool
    reason: GuardDecisionReason
    rule_index: int = -1
    properties: Optional[Mapping[str, Any]] = None
    encoded: bytes = b""
    is_measured: bool = False
    signal: Optional[SignalRef] = None


class Recording(NamedTuple):
    """Where checks are recorded while the client runs in process *pid*."""

    recorder: Union[Recorder, Standby]
    unadopted: Union[UnadoptedCounts, Standby]
    pid: int


class Checker:
    """Answers the checks of one client. Thread-safe.

    Args:
        flag: Reads 1 while this process has nothing to revive.
        revive: Called when *flag* reads 0; returns quickly and never raises; tells
            whether checks are to be recorded.
        contexts: Bundles of protected contexts.
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
        standby: Standby,
        fallback: bool,
        unadopted_open: bool,
        disable_measurement: bool,
    ) -> None:
        self._flag = flag
        self._revive = revive
        self._contexts = contexts
        self._standby = Recording(standby, standby, 0)
        self._fallback = fallback
        self._unadopted_open = unadopted_open
        self._disable_measurement = disable_measurement
        self.limits = RateLimits()
        self.table: Optional[GuardTable] = None
        self.recording: Optional[Recording] = None

    def check(
        self, subject: Subject, name: str, call: Call, frame: Optional[FrameType]
    ) -> Verdict:
        """Answer a check, and record it.

        Args:
            subject: For whom.
            name: The guard.
            call: What the call adds.
            frame: Where the caller stands; ``None`` records nothing and uses up no
                limit.

        Raises:
            TypeError: *name* is no str.
        """
        if not isinstance(name, str):
            raise TypeError(f"a guard's name must be a str, got {type(name).__name__}")
        recording = self.recording if self._flag[0] else None
        if recording is None:
            recording = self._revived()
        context = subject.protected_context
        table = self.table if context is None else self._contexts.table(context)
        if table is None:
            fallback = self._fallback if call.fallback is None else call.fallback
            return Verdict(fallback, GuardDecisionReason.FALLBACK)
        guard = table.lookup(name)
        if guard is None or not guard.adopted:
            if recording is not None and frame is not None:
                recording.unadopted.count(name, time.time())
            return Verdict(self._unadopted_open, GuardDecisionReason.UNADOPTED)
        verdict = self._decide(guard, subject, call, consumes=frame is not None)
        if recording is None or frame is None:
            return verdict
        encoded = self._encoded(verdict, subject, call)
        is_measured = self._is_measured(guard, call)
        signal = recording.recorder.record(
            Happening(
                guard.name,
                OPEN if verdict.is_open else 0,
                encoded,
                frame.f_code,
                frame.f_lasti,
                is_measured,
            )
        )
        if recording is self._standby:
            self._pass_on()
        return verdict._replace(encoded=encoded, is_measured=is_measured, signal=signal)

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

    def encode(self, properties: Mapping[str, Any]) -> bytes:
        """Return *properties* as JSON, as a scope keeps them. Never raises."""
        return encode_properties(properties)

    def _decide(
        self, guard: CompiledGuard, subject: Subject, call: Call, *, consumes: bool
    ) -> Verdict:
        properties = subject.properties
        if call.properties:
            properties = {**properties, **call.properties}
        is_open, index = guard.evaluate(properties)
        reason = _MATCHED if index >= 0 else _DEFAULT
        limit = guard.rate_limit
        if is_open and limit is not None:
            key = partition_key(guard.name, limit.partition_properties, properties)
            most = limit.requests_per_minute
            if not self.limits.admit(key, most, consumes=consumes):
                is_open, reason = False, GuardDecisionReason.RATE_LIMITED
        return Verdict(is_open, reason, index, properties)

    def _encoded(self, verdict: Verdict, subject: Subject, call: Call) -> bytes:
        if call.properties:
            return encode_properties(verdict.properties or {})
        return subject.encoded_properties()

    def _is_measured(self, guard: CompiledGuard, call: Call) -> bool:
        return not (
            self._disable_measurement
            or guard.disable_measurement
            or call.disable_measurement
        )
