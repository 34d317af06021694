"""For tests of code that checks guards: a client without a backend.

Public, like the facade. Nothing in the package imports it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, Union

from liteguard.bootstrap import bootstrap_table
from liteguard.checker import Checker
from liteguard.client import LiteguardClient
from liteguard.errors import ConfigurationError
from liteguard.lifecycle import Lifecycle
from liteguard.options import resolve_options
from liteguard.status import ClientStatus, Role

if TYPE_CHECKING:
    from types import FrameType

    from liteguard.calls import Call
    from liteguard.evaluation.decision import GuardDecisionReason
    from liteguard.evaluation.table import GuardTable
    from liteguard.recall import Key, Recalled
    from liteguard.subject import Subject
    from liteguard.types import ProtectedContext
    from liteguard.verdict import Answer

__all__ = ["Check", "GivenGuard", "Guards", "OfflineClient"]

GivenGuard = Union[bool, Mapping[str, Any]]
"""``True`` for open, ``False`` for closed, or the document that the backend serves.

A document's ``name`` may be left out; it is adopted unless it says otherwise."""

Guards = Mapping[str, GivenGuard]
"""Guards by name."""

_NO_GUARDS: Guards = {}
_TOKEN = "pct-offline"  # noqa: S105  opens nothing
_GUARD_FIELDS = frozenset(
    {
        "name",
        "adopted",
        "defaultValue",
        "rules",
        "rateLimit",
        "rateLimitPerMinute",
        "rateLimitProperties",
        "dryRunRateLimit",
        "disableMeasurement",
    }
)
_RULE_FIELDS = frozenset({"propertyName", "operator", "values", "result", "enabled"})


@dataclass(frozen=True)
class Check:
    """A check that was made with an `OfflineClient`.

    Args:
        guard: The guard that was asked for.
        is_open: The answer.
        reason: Why.
        properties: Those of the scope, with those of the call laid over.
    """

    guard: str
    is_open: bool
    reason: GuardDecisionReason
    properties: Mapping[str, Any] = field(default_factory=dict)


class OfflineClient(LiteguardClient):
    """A `LiteguardClient` that answers from the guards it is given, and from no other.

    It makes no request, starts no thread, touches no file and reads no environment
    variable, started or not. Everything else is the real thing: rules, scopes, rate
    limits (each client counts for itself), decisions, executions. Thread-safe. Checks
    with a protected context are answered from the same guards.

    Args:
        guards: By name. Others are unadopted. ``None`` is a client that has no bundle
            yet: its checks answer the fallback.
        fallback: Answer while there is no bundle.
        unadopted_open: Answer for a guard that nobody has adopted.

    Raises:
        ConfigurationError: A guard cannot be read; the message names it.
    """

    _lifecycle: _OfflineLifecycle

    def __init__(
        self,
        guards: Optional[Guards] = _NO_GUARDS,
        *,
        fallback: bool = False,
        unadopted_open: bool = False,
    ) -> None:
        given = {"fallback": fallback, "unadopted_open": unadopted_open}
        options = resolve_options(None, given, variables={})
        self._hold(_OfflineLifecycle(_TOKEN, options))
        self._guards: Guards = guards or _NO_GUARDS
        self._lifecycle.put_in_force(_table_of(guards))
        self.checks: list[Check] = self._lifecycle.checker.checks
        """The checks that were made, the earliest first; may be cleared. Those of
        `peek_is_open` are none."""

    @contextlib.contextmanager
    def with_guards(self, guards: Optional[Guards]) -> Iterator[None]:
        """Lay *guards* over those in force for a ``with`` block, in all threads.

        Callbacks of `on_change` are called at both ends, in the calling thread.

        Args:
            guards: As the client's; ``None`` takes all guards away, as if no bundle
                had come.

        Raises:
            ConfigurationError: A guard cannot be read; nothing has changed.
        """
        earlier, table = self._guards, self._lifecycle.checker.table
        laid_over = None if guards is None else {**earlier, **guards}
        self._lifecycle.put_in_force(_table_of(laid_over))
        self._guards = laid_over or _NO_GUARDS
        try:
            yield
        finally:
            self._guards = earlier
            self._lifecycle.put_in_force(table)


class _Unprotected:
    """A subject as it is without a protected context."""

    protected_context = None

    def __init__(self, subject: Subject) -> None:
        self.values = subject.values
        self.recalled: dict[Key, Optional[Recalled]] = {}
        self.recalled_calls: dict[Key, Optional[Recalled]] = {}
        self.encoded_properties = subject.encoded_properties


class _NotingChecker(Checker):
    """Keeps a list of its answers. None is recalled, as none is recorded."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.checks: list[Check] = []

    def check(
        self, subject: Subject, name: str, call: Call, frame: Optional[FrameType]
    ) -> Answer:
        answer = super().check(_Unprotected(subject), name, call, frame)
        if frame is not None:
            properties = {**subject.values, **call[0]}
            self.checks.append(Check(name, answer[0], answer[1], properties))
        return answer


class _OfflineLifecycle(Lifecycle):
    """Starts nothing."""

    checker: _NotingChecker
    checker_type = _NotingChecker
    _has_started = False

    def put_in_force(self, table: Optional[GuardTable]) -> None:
        self.checker.table = table
        self.tell_listeners()

    def start(self, *, strict: bool) -> None:  # noqa: ARG002  there is nothing to wait for
        self._has_started = True

    def shutdown(self, timeout_seconds: float) -> None:  # noqa: ARG002  nor to send
        self._has_started = False

    def wait_until_ready(self, timeout_seconds: float) -> bool:  # noqa: ARG002  nor here
        return self.checker.table is not None

    def bind(self, context: ProtectedContext, timeout: Optional[float] = None) -> None:
        """Ask nobody."""

    def status(self) -> ClientStatus:
        role = Role.STANDALONE if self._has_started else Role.STOPPED
        checks = len(self.checker.checks)
        return dataclasses.replace(super().status(), role=role, checks=checks)


def _table_of(guards: Optional[Guards]) -> Optional[GuardTable]:
    if guards is None:
        return None
    documents = [_document(name, guard) for name, guard in guards.items()]
    problems: list[str] = []
    table = bootstrap_table({"guards": documents}, on_problem=problems.append)
    for document in documents:
        # Read now what a check would read: it is the test that is wrong.
        if table is not None:
            table.lookup(document["name"])
    if problems:
        raise ConfigurationError(problems[0], field="guards")
    return table


def _document(name: str, guard: GivenGuard) -> dict[str, Any]:
    if isinstance(guard, bool):
        return {"name": name, "adopted": True, "defaultValue": guard}
    if not isinstance(guard, Mapping):
        raise ConfigurationError(
            f"guard {name!r} must be True, False or a document such as "
            f'{{"defaultValue": True}}, got {guard!r}',
            field="guards",
        )
    _check_fields(f"guard {name!r}", guard, _GUARD_FIELDS)
    for index, rule in enumerate(guard.get("rules") or ()):
        if isinstance(rule, Mapping):
            _check_fields(f"guard {name!r}: rule {index}", rule, _RULE_FIELDS)
    return {"adopted": True, **guard, "name": name}


def _check_fields(
    what: str, document: Mapping[str, Any], known: frozenset[str]
) -> None:
    unknown = sorted(set(document) - known, key=str)
    if unknown:
        raise ConfigurationError(
            f"{what} has no field {unknown[0]!r}; known are: "
            f"{', '.join(sorted(known))}",
            field="guards",
        )
