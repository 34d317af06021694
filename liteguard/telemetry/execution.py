"""Correlation: which checks belong to one execution, and in which order."""

from __future__ import annotations

import itertools
import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from types import TracebackType

SignalRef = tuple[str, int]
"""A signal, as its journal's nonce and its number there."""


def new_id() -> str:
    """Return 96 random bits as text, for ids unique across hosts and restarts."""
    return os.urandom(12).hex()


class ExecutionState:
    """The running numbers of one execution. Shared by the tasks and threads in it."""

    def __init__(self) -> None:
        self.execution_id = new_id()
        self.next_sequence_number: Callable[[], int] = itertools.count(1).__next__
        self.last_signal: Optional[SignalRef] = None
        self.has_ended = False
        self.outer: Optional[ExecutionState] = None
        """Known once it has ended, so that unended ones do not keep each other."""


current_execution: ContextVar[Optional[ExecutionState]] = ContextVar(
    "liteguard_execution", default=None
)


class Execution:
    """A handle on an execution: signals made until its end share its id.

    A context manager; `end` does the same by hand. Ending twice is harmless, as is
    ending in another context than it was started in, or before what began within it.
    """

    def __init__(self) -> None:
        self._outer = current_execution.get()
        self._state = ExecutionState()
        current_execution.set(self._state)

    @property
    def execution_id(self) -> str:
        """The id that the signals carry."""
        return self._state.execution_id

    def end(self) -> None:
        """Let later checks of this context belong to what was there before."""
        self._state.has_ended, self._state.outer = True, self._outer
        state = current_execution.get()
        while state is not None and state.has_ended:
            state = state.outer
        current_execution.set(state)

    def __enter__(self) -> Execution:
        """Return the handle, already started."""
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """End the execution."""
        self.end()


class JoinedExecution:
    """The execution under way if there is one, else a new one that ends with it.

    For ``with`` and ``async with``. Entered again, it goes on with its own execution.
    """

    def __init__(self) -> None:
        self._state: Optional[ExecutionState] = None

    def __enter__(self) -> None:
        """Start an execution unless one is under way."""
        if current_execution.get() is None:
            self._state = self._state or ExecutionState()
            current_execution.set(self._state)

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """End what was started here."""
        if self._state is not None and current_execution.get() is self._state:
            current_execution.set(None)

    async def __aenter__(self) -> None:
        """Start an execution unless one is under way."""
        self.__enter__()

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """End what was started here."""
        self.__exit__(kind, error, traceback)


def signal_id(reference: SignalRef) -> str:
    """Return the id that a signal carries on the wire, unique across hosts."""
    return f"{reference[0]}-{reference[1]:x}"
