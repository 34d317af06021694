"""Which scope is bound to the running context, and for how long."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from liteguard.checker import Checker


S = TypeVar("S")


class _Bound:
    """A scope bound to a context, and the generator that bound it, if one did."""

    __slots__ = ("checker", "generator", "is_ended", "scope", "unit")

    def __init__(
        self, scope: Any, checker: Checker, generator: Optional[FrameType]
    ) -> None:
        self.scope = scope
        self.checker = checker
        self.generator = generator
        self.unit = _unit_of_work()
        self.is_ended = False


_bound: ContextVar[tuple[_Bound, ...]] = ContextVar("liteguard_scopes", default=())


def active_scope(checker: Checker) -> Any:
    """Return the innermost scope of *checker*'s client bound here, or ``None``."""
    for bound in reversed(_bound.get()):
        if bound.checker is checker and _is_visible(bound):
            return bound.scope
    return None


class ScopeBinding(Generic[S]):
    """Binds a scope for the time of a ``with`` or ``async with`` block.

    Bindings form a tuple in one context variable, and a block takes out its own entry
    when it ends. So blocks that end out of order, or in another context than they
    began in, disturb nobody, and no path out of a block leaves its scope behind.

    Args:
        scope: The scope to bind.
        checker: The client that binds it.
    """

    def __init__(self, scope: S, checker: Checker) -> None:
        self._scope = scope
        self._checker = checker
        self._entered: list[_Bound] = []

    def __enter__(self) -> S:
        """Bind the scope and return it."""
        return self._enter(sys._getframe(1))

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Undo the binding."""
        self._exit(sys._getframe(1))

    async def __aenter__(self) -> S:
        """Bind the scope and return it."""
        return self._enter(sys._getframe(1))

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Undo the binding."""
        self._exit(sys._getframe(1))

    def _enter(self, frame: FrameType) -> S:
        mine = _Bound(self._scope, self._checker, _running_generator(frame))
        self._entered.append(mine)
        _bound.set((*_bound.get(), mine))
        return self._scope

    def _exit(self, frame: FrameType) -> None:
        unit = _unit_of_work()
        mine = self._entered[-1]
        if len(self._entered) > 1:
            # Tasks and generators may share a binding: each ends its own entry.
            here = (unit, _running_generator(frame))
            own = [bound for bound in self._entered if _place(bound) == here]
            mine = own[-1] if own else mine
        self._entered.remove(mine)
        # Where it was entered it stays in the context, if that is not this one: an
        # event loop closes an abandoned generator in a task of its own.
        mine.is_ended = mine.unit != unit
        _bound.set(tuple(bound for bound in _bound.get() if bound is not mine))


# -- Generators share the context of whoever iterates them, so a scope bound inside one
# would be seen outside while it is suspended, and by other generators. Such a binding
# holds only while its generator runs, unless the generator is itself the body of a
# context manager or fixture, whose very point is that the binding outlives the yield:
# then it holds while the generator runs that uses that, if any does.

_DRIVERS = (
    "contextlib",
    "pluggy.",
    "_pytest.",
    "pytest_asyncio.",
    "anyio.pytest_plugin",
)
_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _running_generator(frame: Optional[FrameType]) -> Optional[FrameType]:
    """Return the innermost generator on the stack that is no body of a manager."""
    while frame is not None:
        if frame.f_code.co_flags & _GENERATOR and not _is_body(frame):
            return frame
        frame = frame.f_back
    return None


def _is_body(frame: FrameType) -> bool:
    driver = frame.f_back.f_globals.get("__name__", "") if frame.f_back else ""
    return str(driver).startswith(_DRIVERS)


def _is_visible(bound: _Bound) -> bool:
    if bound.generator is None or bound.is_ended:
        return not bound.is_ended
    frame: Optional[FrameType] = sys._getframe(2)
    while frame is not None:
        if frame is bound.generator:
            return True
        frame = frame.f_back
    # A task or thread started inside the generator has a copy of its context.
    return bound.unit != _unit_of_work()


def _place(bound: _Bound) -> tuple[tuple[int, int], Optional[FrameType]]:
    return (bound.unit, bound.generator)


def _unit_of_work() -> tuple[int, int]:
    """Return what tells threads and asyncio tasks apart."""
    asyncio = sys.modules.get("asyncio")
    task = None
    if asyncio is not None:
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread
            task = asyncio.current_task()
    return (threading.get_ident(), id(task))
