"""The four ways to ask about a guard, the same for a client and for a scope."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional, TypeVar

from liteguard.calls import NO_CALL, CallOptions, call_of
from liteguard.evaluation.decision import GuardDecision, decided
from liteguard.executing import GuardedRun
from liteguard.telemetry.execution import current_execution
from liteguard.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from liteguard.checker import Checker
    from liteguard.recall import Key
    from liteguard.subject import Subject

T = TypeVar("T")


class GuardChecks:
    """Checks for a subject. Thread-safe, and the same on both sides of a fork."""

    __slots__ = ()
    _checker: Checker

    def _subject(self) -> Subject:
        """Return for whom checks are made."""
        raise NotImplementedError

    def __copy__(self) -> GuardChecks:
        """Return the same: copies of what holds it go on using it."""
        return self

    def __deepcopy__(self, memo: object) -> GuardChecks:
        """Return the same, as a copy does."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: threads and locks cannot be sent to a process."""
        raise TypeError(
            f"a {type(self).__name__} cannot be sent to another process: make a "
            "LiteguardClient there, for instance when its module is imported"
        )

    def is_open(
        self,
        name: str,
        options: CallOptions = None,
        *,
        properties: Optional[Mapping[str, Any]] = None,
        fallback: Optional[bool] = None,
        disable_measurement: Optional[bool] = None,
    ) -> bool:
        """Return whether guard *name* is open.

        Never blocks, and never raises because of data.

        Args:
            name: The guard.
            options: An `Options` object or a dict; the arguments below beat it.
            properties: Laid over the scope's for this check.
            fallback: Answer while no bundle is there; the client's if not given.
            disable_measurement: Leave process readings out of the signal.

        Raises:
            TypeError: *name* is no str, or an argument is of the wrong kind.
        """
        try:
            frame = sys._getframe(1)
        except ValueError:
            frame = _own_frame()
        subject, checker = self._subject(), self._checker
        if options is None is fallback is disable_measurement and type(name) is str:
            key: Key = name
            kept = subject.recalled
            if properties is not None:
                kept, key = subject.recalled_calls, checker.key_of(name, properties)
            # As `Checker.recall`, in place: a call of it would take a tenth more.
            recalled, epoch = kept.get(key), checker.epoch
            if recalled is not None and epoch is not None and checker.flag[0]:
                token, code, instruction, is_open, _, site, properties_at = recalled
                if (
                    token is epoch.token
                    and frame.f_code is code
                    and frame.f_lasti == instruction
                    and current_execution.get() is None
                    and epoch.journal.repeat(time.time(), site, properties_at)
                ):
                    return is_open
            if key is not None:
                # What has a key has nothing that is to be refused or reported.
                call = NO_CALL if properties is None else ({**properties}, None, None)
                return checker.check_anew(kept, key, subject, name, call, frame)[0]
        call = call_of(options, properties, fallback, disable_measurement)
        return checker.check(subject, name, call, frame)[0]

    def peek_is_open(
        self,
        name: str,
        options: CallOptions = None,
        *,
        properties: Optional[Mapping[str, Any]] = None,
        fallback: Optional[bool] = None,
        disable_measurement: Optional[bool] = None,
    ) -> bool:
        """Return what `is_open` would, sending no signal and using up no limit."""
        call = call_of(options, properties, fallback, disable_measurement)
        return self._checker.check(self._subject(), name, call, None)[0]

    def evaluate(
        self,
        name: str,
        options: CallOptions = None,
        *,
        properties: Optional[Mapping[str, Any]] = None,
        fallback: Optional[bool] = None,
        disable_measurement: Optional[bool] = None,
    ) -> GuardDecision:
        """Return the answer of `is_open` with its reason, and record the check."""
        try:
            frame = sys._getframe(1)
        except ValueError:
            frame = _own_frame()
        subject, checker = self._subject(), self._checker
        is_plain = (
            options is properties is None is fallback is disable_measurement
            and type(name) is str
        )
        recalled = checker.recall(subject, name, frame) if is_plain else None
        if recalled is not None:
            is_open, index = recalled
            return decided(name, index, subject.values, is_open=is_open)
        if is_plain:
            kept = subject.recalled
            answer = checker.check_anew(kept, name, subject, name, NO_CALL, frame)
        else:
            call = call_of(options, properties, fallback, disable_measurement)
            answer = checker.check(subject, name, call, frame)
        verdict = Verdict(*answer)
        return GuardDecision(
            name=name,
            is_open=verdict.is_open,
            adopted=verdict.properties is not None,
            reason=verdict.reason,
            matched_rule_index=verdict.rule_index,
            properties=dict(verdict.properties or {}),
        )

    def execute_if_open(
        self,
        name: str,
        fn: Callable[[], T],
        options: CallOptions = None,
        *,
        properties: Optional[Mapping[str, Any]] = None,
        fallback: Optional[bool] = None,
        disable_measurement: Optional[bool] = None,
    ) -> Optional[T]:
        """Run *fn* if the guard is open, and record how long it took and how it ended.

        Args:
            name: The guard.
            fn: Takes no argument. What it returns is awaitable if *fn* is a coroutine
                function; the execution then ends when it was awaited.
            options: As in `is_open`, like the arguments below.
            properties: As in `is_open`.
            fallback: As in `is_open`.
            disable_measurement: As in `is_open`.

        Returns:
            What *fn* returned, or ``None`` if the guard is closed.
        """
        call = call_of(options, properties, fallback, disable_measurement)
        run = GuardedRun(self._checker, name, _callers_frame())
        return run.run(self._subject(), call, fn)


def _callers_frame() -> FrameType:
    """Return where the method stands that was called by whoever calls this."""
    try:
        return sys._getframe(2)
    except ValueError:
        return _own_frame()


def _own_frame() -> FrameType:
    """Return a frame of this module's: a thread that C code began has no other."""
    return sys._getframe(1)
