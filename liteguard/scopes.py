"""Scopes: immutable properties, and which of them is bound to the running context."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from liteguard.binding import ScopeBinding
from liteguard.calls import given_properties
from liteguard.checks import GuardChecks
from liteguard.telemetry.execution import Execution
from liteguard.types import ProtectedContext
from liteguard.within import run_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from liteguard.checker import Checker
    from liteguard.recall import Recalled

T = TypeVar("T")
Bind = Callable[[ProtectedContext], None]


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
        "_view",
        "recalled",
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
        self._view = MappingProxyType(values)
        self._protected_context = protected_context
        self._encoded: Optional[bytes] = None
        self.recalled: dict[str, Optional[Recalled]] = {}
        """What checks keep of earlier ones; not for applications."""

    def __repr__(self) -> str:
        """Name the properties; their values may be personal."""
        names = ", ".join(map(str, self.values))
        return f"<LiteguardScope of {names or 'no properties'}>"

    @property
    def properties(self) -> Mapping[str, Any]:
        """The properties; a view that cannot be edited."""
        return self._view

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

    def bind_protected_context(self, context: ProtectedContext) -> LiteguardScope:
        """Return a scope whose checks use the backend's bundle for *context*.

        Blocks for one request if the context is new to this process. If that fails,
        checks of the scope answer the fallback.

        Raises:
            TypeError: *context* is no `ProtectedContext`.
        """
        if not isinstance(context, ProtectedContext):
            raise TypeError(
                "context must be a liteguard.ProtectedContext, "
                f"got {type(context).__name__}"
            )
        self._bind(context)
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
