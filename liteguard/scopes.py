"""Scopes: immutable properties, and which of them is bound to the running context."""

from __future__ import annotations

import inspect
import sys
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, TypeVar

from liteguard.binding import ScopeBinding
from liteguard.calls import given_properties
from liteguard.checks import GuardChecks
from liteguard.telemetry.execution import Execution
from liteguard.types import ProtectedContext
from liteguard.within import run_in_thread, run_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from liteguard.checker import Checker
    from liteguard.recall import Key, Recalled

T = TypeVar("T")


class Bind(Protocol):
    """Gets the bundle of a protected context. Blocks for one request."""

    def __call__(
        self, context: ProtectedContext, timeout: Optional[float] = None
    ) -> None:
        """Block for *timeout* seconds at most; ``None`` takes the client's."""


class LiteguardScope(GuardChecks):
    """Properties of one caller, and checks made for that caller.

    Immutable: methods that seem to change it return another scope. Made by
    ``LiteguardClient.create_scope``. Thread-safe, and usable on both sides of a fork.
    """

    __slots__ = (
        "__weakref__",
        "_bind",
        "_checker",
        "_encoded",
        "_protected_context",
        "recalled",
        "recalled_calls",
        "values",
    )

    def __init__(
        self,
        checker: Checker,
        bind: Bind,
        values: dict[str, Any],
        protected_context: Optional[ProtectedContext] = None,
    ) -> None:
        self._checker = checker
        self._bind = bind
        self.values = values
        """The properties, never edited; not for applications."""
        self._protected_context = protected_context
        self._encoded: Optional[bytes] = None
        self.recalled: dict[Key, Optional[Recalled]] = {}
        """What checks keep of earlier ones; not for applications."""
        self.recalled_calls: dict[Key, Optional[Recalled]] = {}
        """The same, of those with properties of their own."""

    def __repr__(self) -> str:
        """Name the properties; their values may be personal."""
        names = ", ".join(map(str, self.values))
        return f"<LiteguardScope of {names or 'no properties'}>"

    @property
    def properties(self) -> Mapping[str, Any]:
        """The properties; a view that cannot be edited."""
        return MappingProxyType(self.values)

    @property
    def protected_context(self) -> Optional[ProtectedContext]:
        """The protected context bound to this scope, or ``None``."""
        return self._protected_context

    def _subject(self) -> LiteguardScope:
        return self

    def encoded_properties(self) -> bytes:
        """Return the properties as JSON, encoded once. Never raises."""
        encoded = self._encoded
        if encoded is None:
            encoded = self._encoded = self._checker.encode(self.values)
        return encoded

    def with_properties(
        self, properties: Optional[Mapping[str, Any]] = None, /, **more: Any
    ) -> LiteguardScope:
        """Return a scope with these properties laid over this one's.

        Args:
            properties: A dict of properties.
            **more: Further properties by keyword.
        """
        return self._derived({**self.values, **given_properties(properties, more)})

    def add_properties(
        self, properties: Optional[Mapping[str, Any]] = None, /, **more: Any
    ) -> LiteguardScope:
        """Return the same as `with_properties`, for building a scope step by step."""
        return self.with_properties(properties, **more)

    def clear_properties(self, names: Iterable[str]) -> LiteguardScope:
        """Return a scope without the properties called *names*."""
        if isinstance(names, str):
            raise TypeError(f"names must be a list of names: [{names!r}]")
        gone = set(names)
        kept = {name: self.values[name] for name in self.values if name not in gone}
        return self._derived(kept)

    def reset_properties(self) -> LiteguardScope:
        """Return a scope without properties, bound to the same protected context."""
        return self._derived({})

    def bind_protected_context(
        self, context: ProtectedContext, *, timeout: Optional[float] = None
    ) -> LiteguardScope:
        """Return a scope whose checks use the backend's bundle for *context*.

        Blocks for one request if the context is new to this process. If that fails,
        checks of the scope answer the fallback, and it is tried again in the
        background while the scope is used.

        Args:
            context: Signed by your application's backend.
            timeout: Longest that it blocks, in seconds, and no longer than
                ``http_timeout_seconds``.

        Raises:
            TypeError: *context* is no `ProtectedContext`.
        """
        scope = self._bound_to(context)
        self._bind(context, timeout)
        return scope

    async def bind_protected_context_async(
        self, context: ProtectedContext, *, timeout: Optional[float] = None
    ) -> LiteguardScope:
        """Do the same in a thread, so that the event loop goes on.

        Args:
            context: As in `bind_protected_context`, like the rest.
            timeout: See there.
        """
        scope = self._bound_to(context)
        await run_in_thread(partial(self._bind, context, timeout))
        return scope

    def _bound_to(self, context: ProtectedContext) -> LiteguardScope:
        if not isinstance(context, ProtectedContext):
            raise TypeError(
                "context must be a liteguard.ProtectedContext, "
                f"got {type(context).__name__}"
            )
        return LiteguardScope(self._checker, self._bind, self.values, context)

    def clear_protected_context(self) -> LiteguardScope:
        """Return a scope that uses the public bundle."""
        return LiteguardScope(self._checker, self._bind, self.values)

    def get_properties(self) -> dict[str, Any]:
        """Return a copy of the properties."""
        return dict(self.values)

    def get_protected_context(self) -> Optional[ProtectedContext]:
        """Return the protected context bound to this scope, or ``None``."""
        return self._protected_context

    def run(self, fn: Callable[[], T]) -> T:
        """Run *fn* with this scope bound to the context; awaitable if *fn* is."""
        return run_within(ScopeBinding(self, self._checker), fn)

    def start_execution(self) -> Execution:
        """Start an execution: signals made until its end share its id."""
        return Execution()

    def belongs_to(self, checker: Checker) -> bool:
        """Whether this scope was made by the client of *checker*."""
        return self._checker is checker

    def _derived(self, values: dict[str, Any]) -> LiteguardScope:
        return LiteguardScope(
            self._checker, self._bind, values, self._protected_context
        )


class ProtectedBinding(ScopeBinding[LiteguardScope]):
    """Binds a protected context for the time of a ``with`` or ``async with`` block.

    Args:
        scope: The scope to derive from.
        context: Its bundle is asked for when the block begins.
        checker: The client that binds it.
    """

    def __init__(
        self, scope: LiteguardScope, context: ProtectedContext, checker: Checker
    ) -> None:
        super().__init__(scope._bound_to(context), checker)  # noqa: SLF001  one module
        self._refresh = partial(scope._bind, context)  # noqa: SLF001

    def __enter__(self) -> LiteguardScope:
        """Get the bundle, which blocks for one request, and bind the scope."""
        self._refresh()
        return self._enter(sys._getframe(1))

    async def __aenter__(self) -> LiteguardScope:
        """Get the bundle while the event loop goes on, and bind the scope."""
        frame = sys._getframe(1)
        await run_in_thread(self._refresh)
        return self._enter(frame)

    def run(self, fn: Callable[[], T]) -> T:
        """Run *fn* with the scope bound; a coroutine function is awaited within."""
        if inspect.iscoroutinefunction(fn):
            return self._run_async(fn)  # type: ignore[return-value]  # T is awaitable
        return run_within(self, fn)

    async def _run_async(self, fn: Callable[[], Any]) -> Any:
        async with self:
            return await fn()
