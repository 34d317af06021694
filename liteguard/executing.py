"""Runs a function behind a guard, and records how long it took and how it ended."""

from __future__ import annotations

import inspect
import os
import time
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from liteguard.telemetry.execution import (
    ExecutionState,
    JoinedExecution,
    current_execution,
)
from liteguard.telemetry.happening import EXECUTION, OPEN, Happening
from liteguard.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
    from types import FrameType

    from liteguard.calls import Call
    from liteguard.checker import Checker
    from liteguard.subject import Subject

T = TypeVar("T")


class GuardedRun:
    """One call of ``execute_if_open``.

    Args:
        checker: Answers and records.
        name: The guard.
        frame: Where the caller stands.
    """

    def __init__(self, checker: Checker, name: str, frame: FrameType) -> None:
        self._checker = checker
        self._name = name
        self._frame = frame
        self._started_ns = 0

    def run(self, subject: Subject, call: Call, fn: Callable[[], T]) -> Optional[T]:
        """Return what *fn* returns, or ``None`` if the guard is closed."""
        if not callable(fn):
            raise TypeError(f"fn must be callable, got {type(fn).__name__}")
        with JoinedExecution():
            answer = self._checker.check(subject, self._name, call, self._frame)
            verdict = Verdict(*answer)
            if not verdict.is_open:
                # A closed guard must not make "await execute_if_open(...)" fail.
                is_async = inspect.iscoroutinefunction(fn)
                return _Nothing() if is_async else None  # type: ignore[return-value]  # T is awaitable
            return self._measured(verdict, fn) if verdict.encoded else fn()

    def _measured(self, verdict: Verdict, fn: Callable[[], T]) -> T:
        self._started_ns = time.perf_counter_ns()
        try:
            value = fn()
        except BaseException as error:
            self._record(verdict, error)
            raise
        if inspect.isawaitable(value):
            state = current_execution.get()
            return self._awaited(verdict, value, state)  # type: ignore[return-value]  # T is awaitable
        self._record(verdict, None)
        return value

    async def _awaited(
        self, verdict: Verdict, value: Awaitable[Any], state: Optional[ExecutionState]
    ) -> Any:
        outer = current_execution.get()
        current_execution.set(state)
        try:
            result = await value
        except BaseException as error:
            self._record(verdict, error)
            raise
        else:
            self._record(verdict, None)
            return result
        finally:
            current_execution.set(outer)

    def _record(self, verdict: Verdict, error: Optional[BaseException]) -> None:
        recording = self._checker.recording
        if recording is None or recording.pid != os.getpid():
            # The function forked in C, and this child has made no check yet.
            return
        recording.recorder.record(
            Happening(
                guard=self._name,
                flags=OPEN | EXECUTION,
                properties=verdict.encoded,
                code=self._frame.f_code,
                instruction=self._frame.f_lasti,
                is_measured=verdict.is_measured,
                duration_ns=time.perf_counter_ns() - self._started_ns,
                error="" if error is None else type(error).__name__,
                parent=verdict.signal,
            )
        )


class _Nothing:
    """What a closed guard gives for a coroutine function: awaiting it gives None."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield
