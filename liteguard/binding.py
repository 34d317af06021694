"""Which scope is bound to the running context, and for how long."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Optional, TypeVar

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from liteguard.checker import Checker


S = TypeVar("S")


class _Bound(NamedTuple):
    """A scope bound to a context, and the generator that bound it, if one did."""

    scope: Any
    checker: Checker
    generator: Optional[FrameType]
    unit: Optional[tuple[int, int]]


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
        mine = self._entered.pop()
        _bound.set(tuple(bound for bound in _bound.get() if bound is not mine))

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
        self.__exit__(kind, error, traceback)

    def _enter(self, frame: Optional[FrameType]) -> S:
        generator = frame if frame is not None and _is_isolated(frame) else None
        unit = None if generator is None else _unit_of_work()
        mine = _Bound(self._scope, self._checker, generator, unit)
        self._entered.append(mine)
        _bound.set((*_bound.get(), mine))
        return self._scope


# -- Generators share the context of whoever iterates them, so a scope bound inside one
# would be seen outside while it is suspended, and by other generators. Such a binding
# holds only while its generator runs, unless the generator is itself the body of a
# context manager or fixture, whose very point is that the binding outlives the yield.

_DRIVERS = ("contextlib", "_pytest.", "pytest_asyncio.", "anyio.pytest_plugin")
_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _is_isolated(frame: FrameType) -> bool:
    if not frame.f_code.co_flags & _GENERATOR:
        return False
    driver = frame.f_back.f_globals.get("__name__", "") if frame.f_back else ""
    return not str(driver).startswith(_DRIVERS)


def _is_visible(bound: _Bound) -> bool:
    if bound.generator is None:
        return True
    frame: Optional[FrameType] = sys._getframe(2)
    while frame is not None:
        if frame is bound.generator:
            return True
        frame = frame.f_back
    # A task or thread started inside the generator has a copy of its context.
    return bound.unit != _unit_of_work()


def _unit_of_work() -> tuple[int, int]:
    """Return what tells threads and asyncio tasks apart."""
    asyncio = sys.modules.get("asyncio")
    task = None
    if asyncio is not None:
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread
            task = asyncio.current_task()
    return (threading.get_ident(), id(task))
