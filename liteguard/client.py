"""LiteguardClient: what an application holds."""

from __future__ import annotations

import atexit
import weakref
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union, overload

from liteguard.binding import ScopeBinding, active_scope
from liteguard.calls import given_properties
from liteguard.checks import GuardChecks
from liteguard.errors import ConfigurationError
from liteguard.options import ClientOptions, resolve_options, resolve_token
from liteguard.scopes import LiteguardScope, ProtectedBinding
from liteguard.telemetry.execution import Execution, JoinedExecution
from liteguard.timeouts import resolve_timeout
from liteguard.within import run_within

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from liteguard.lifecycle import Lifecycle
    from liteguard.status import ClientStatus
    from liteguard.types import ProtectedContext

T = TypeVar("T")


class LiteguardClient(GuardChecks):
    """Answers guard checks from a bundle kept in this process.

    Make one per project and environment, at import or start-up, and share it: it is
    thread-safe, and it stays usable in every process forked later. Making it starts
    nothing; `start` does.

    Args:
        project_client_token: From your Liteguard project; ``LITEGUARD_TOKEN`` if not
            given.
        options: A `ClientOptions`, or a dict of its fields.
        **option_fields: Fields of `ClientOptions` by keyword; they beat *options*.

    Raises:
        ConfigurationError: The token is missing, or an option unknown or out of range.
    """

    def __init__(
        self,
        project_client_token: Optional[str] = None,
        options: Union[ClientOptions, Mapping[str, Any], None] = None,
        **option_fields: Any,
    ) -> None:
        # Not above: it brings requests and orjson, three quarters of an import's cost.
        from liteguard.lifecycle import Lifecycle  # noqa: PLC0415

        token = resolve_token(project_client_token)
        self._hold(Lifecycle(token, resolve_options(options, option_fields)))

    def _hold(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._options = lifecycle.options
        self._checker = lifecycle.checker
        self._no_scope = self.create_scope()
        self._is_at_exit = False

    def __repr__(self) -> str:
        """Name backend, environment and role, never the token."""
        scheme, _, rest = self._options.backend_url.partition("://")
        # What stands before an "@" may be a password.
        url = f"{scheme}://{rest.rpartition('@')[2]}"
        return (
            f"<LiteguardClient of {url} "
            f"environment={self._options.environment!r} role={self.status().role}>"
        )

    # -- lifecycle

    def start(self, *, strict: bool = False) -> None:
        """Get a first bundle and start the background threads.

        Blocks until a bundle is there, at most ``start_timeout_seconds``: a recent
        snapshot of this host is used at once; without one the backend is asked. If
        there is none in the end, checks answer the fallback until there is. Idempotent
        and thread-safe; works again after `shutdown`. Later children start themselves.

        Args:
            strict: Raise if there is no bundle in the end.

        Raises:
            NotReadyError: *strict*, and there is no bundle.
        """
        self._shut_down_at_exit()
        self._lifecycle.start(strict=strict)

    def wait_until_ready(self, timeout: Optional[float] = None) -> bool:
        """Wait until a bundle is in force, and return whether one is.

        For what must not begin with fallbacks: a readiness probe, or a worker that was
        forked from a process without a bundle. A bundle of ``bootstrap`` counts. It
        starts nothing: `start` does.

        Args:
            timeout: Longest that it blocks, in seconds; ``start_timeout_seconds`` if
                not given. With 0 it does not block.
        """
        default = self._options.start_timeout_seconds
        return self._lifecycle.wait_until_ready(resolve_timeout(timeout, default))

    def shutdown(self, timeout: Optional[float] = None) -> None:
        """Deliver what is recorded, stop the threads, give up leadership.

        Registered with ``atexit`` by `start`, so calling it is rarely needed.
        Idempotent. Checks made later answer from the last bundle and are not recorded.

        Args:
            timeout: Longest that it blocks, in seconds; ``http_timeout_seconds`` if not
                given. What could not be sent stays on disk for this host's next leader.
        """
        default = self._options.http_timeout_seconds
        self._lifecycle.shutdown(resolve_timeout(timeout, default))
        atexit.unregister(self._end)
        self._is_at_exit = False

    def flush_signals(self, timeout: Optional[float] = None) -> bool:
        """Send recorded signals and observations now.

        Args:
            timeout: Longest that it blocks, in seconds; ``http_timeout_seconds`` if not
                given.

        Returns:
            Whether everything recorded by this process was delivered.
        """
        default = self._options.http_timeout_seconds
        return self._lifecycle.flush(resolve_timeout(timeout, default))

    def status(self) -> ClientStatus:
        """Return what this process knows of itself. Never blocks, never revives."""
        return self._lifecycle.status()

    def on_change(self, callback: Callable[[frozenset[str]], object]) -> None:
        """Call *callback* whenever a new bundle is in force.

        It runs in the refresh thread of each process, with the names of the guards
        that changed; what it raises is logged.

        Args:
            callback: Takes a frozenset of names.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, got {type(callback).__name__}")
        self._lifecycle.listen(callback)

    def __enter__(self) -> LiteguardClient:
        """Start, and return the client."""
        self.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Shut down."""
        self.shutdown()

    # -- correlation

    def execution(self) -> JoinedExecution:
        """Return a context manager whose signals share an execution id.

        Within another execution it belongs to that one.
        """
        return JoinedExecution()

    def with_execution(self, fn: Callable[[], T]) -> T:
        """Run *fn* within `execution`; an awaitable result is awaited within it."""
        return run_within(JoinedExecution(), fn)

    def start_execution(self) -> Execution:
        """Start an execution of its own; call ``end()`` on what is returned."""
        return Execution()

    # -- scopes

    def create_scope(
        self, properties: Optional[Mapping[str, Any]] = None, /, **more: Any
    ) -> LiteguardScope:
        """Return a scope with these properties; it is bound to nothing yet.

        Args:
            properties: A dict of properties.
            **more: Further properties by keyword.
        """
        return LiteguardScope(
            self._checker, self._lifecycle.bind, given_properties(properties, more)
        )

    def _subject(self) -> LiteguardScope:
        return active_scope(self._checker) or self._no_scope

    def get_active_scope(self) -> LiteguardScope:
        """Return the scope bound to the running context, or one without properties."""
        return self._subject()

    @overload
    def run_with_scope(self, scope: LiteguardScope) -> ScopeBinding[LiteguardScope]: ...

    @overload
    def run_with_scope(self, scope: LiteguardScope, fn: Callable[[], T]) -> T: ...

    def run_with_scope(
        self, scope: LiteguardScope, fn: Optional[Callable[[], T]] = None
    ) -> Union[ScopeBinding[LiteguardScope], T]:
        """Bind *scope* to the running context, for a block or for a function.

        Args:
            scope: Made by this client.
            fn: Run with the scope bound; what it returns is awaited so as well.

        Returns:
            Without *fn* a context manager, for ``with`` and ``async with``; else what
            *fn* returned.

        Raises:
            ConfigurationError: *scope* was made by another client.
        """
        binding = self._binding(scope)
        return binding if fn is None else run_within(binding, fn)

    @overload
    def with_properties(
        self, properties: Mapping[str, Any]
    ) -> ScopeBinding[LiteguardScope]: ...

    @overload
    def with_properties(
        self, properties: Mapping[str, Any], fn: Callable[[], T]
    ) -> T: ...

    def with_properties(
        self, properties: Mapping[str, Any], fn: Optional[Callable[[], T]] = None
    ) -> Union[ScopeBinding[LiteguardScope], T]:
        """Bind the active scope with *properties* laid over; as `run_with_scope`."""
        scope = self.get_active_scope().with_properties(properties)
        binding = self._binding(scope)
        return binding if fn is None else run_within(binding, fn)

    @overload
    def with_protected_context(
        self, context: ProtectedContext
    ) -> ScopeBinding[LiteguardScope]: ...

    @overload
    def with_protected_context(
        self, context: ProtectedContext, fn: Callable[[], T]
    ) -> T: ...

    def with_protected_context(
        self, context: ProtectedContext, fn: Optional[Callable[[], T]] = None
    ) -> Union[ScopeBinding[LiteguardScope], T]:
        """Bind the active scope with *context*; as `run_with_scope`.

        Blocks for one request if the context is new to this process; ``async with``
        awaits it instead, and so does an *fn* that is a coroutine function.
        """
        scope = self.get_active_scope()
        binding = ProtectedBinding(scope, context, self._checker)
        return binding if fn is None else binding.run(fn)

    def _shut_down_at_exit(self) -> None:
        if self._is_at_exit:
            return
        self._is_at_exit = True
        # Made before the handler is registered, so that at the exit the handler comes
        # first: urllib3 closes its connections in finalizers like this one.
        weakref.finalize(self, int).atexit = False
        # Keeps the client: what a function started that has returned delivers too.
        atexit.register(self._end)

    def _end(self) -> None:
        self.shutdown()

    def _binding(self, scope: LiteguardScope) -> ScopeBinding[LiteguardScope]:
        if not isinstance(scope, LiteguardScope):
            raise ConfigurationError(
                "scope must be a LiteguardScope from client.create_scope(), "
                f"got {type(scope).__name__}",
                field="scope",
            )
        if not scope.belongs_to(self._checker):
            raise ConfigurationError(
                "this scope was made by another LiteguardClient: make it with "
                "create_scope() of the client that runs it",
                field="scope",
            )
        return ScopeBinding(scope, self._checker)
