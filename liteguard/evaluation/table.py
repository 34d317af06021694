"""The guards in force: each decoded and compiled when it is first asked for.

Nothing here takes a lock. Two threads that ask for a guard at the same moment may both
compile it; one result wins and the other is thrown away.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import (
    TYPE_CHECKING,
    Callable,
    NamedTuple,
    Optional,
    Protocol,
    runtime_checkable,
)

from liteguard.errors import BundleError, LiteguardError
from liteguard.evaluation.bundle import DryRunRateLimit, Guard, RateLimit, summary
from liteguard.evaluation.decision import GuardDecision, GuardDecisionReason
from liteguard.evaluation.decoding import decode_guard
from liteguard.evaluation.rules import Predicate, compile_rule, never

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liteguard.types import Properties


# What a mapping that reads from elsewhere may raise for a single guard.
_UNREADABLE = (LiteguardError, OSError, LookupError)


@dataclass(frozen=True)
class CompiledGuard:
    """A guard made ready for checks. Thread-safe; never reads anything.

    Args:
        name: Its name.
        adopted: Whether someone took it up at the backend.
        default_value: The answer where no rule matches.
        rate_limit: Applied where the answer is open; ``None`` is unlimited.
        dry_run_rate_limit: Counted beside it; ``None`` if there is none.
        is_limited: Whether one of the two is there.
        disable_measurement: Whether its signals leave process readings out.
        rule_count: How many rules it has, those that never match included.
        verdicts: For each rule that can match its predicate, result and index.
    """

    name: str
    adopted: bool
    default_value: bool
    rate_limit: Optional[RateLimit]
    dry_run_rate_limit: Optional[DryRunRateLimit]
    is_limited: bool
    disable_measurement: bool
    rule_count: int
    verdicts: tuple[tuple[Predicate, tuple[bool, int]], ...] = field(repr=False)

    def evaluate(self, properties: Properties) -> tuple[bool, int]:
        """Return the answer and the index of the rule that decided, -1 if none did.

        Never raises: a rule whose property cannot be read does not match.
        """
        try:
            for matches, verdict in self.verdicts:
                if matches(properties):
                    return verdict
        except Exception:  # noqa: BLE001 - keys or a mapping may run code of their own
            return self._evaluate_warily(properties)
        return self.default_value, -1

    def _evaluate_warily(self, properties: Properties) -> tuple[bool, int]:
        for matches, verdict in self.verdicts:
            with suppress(Exception):
                if matches(properties):
                    return verdict
        return self.default_value, -1


@runtime_checkable
class DigestedDocuments(Protocol):
    """Documents that can tell whether one changed without reading it."""

    def digest(self, name: str) -> str:
        """Return what changes when the document of guard *name* changes."""


class _Entry(NamedTuple):
    """A guard that was asked for; ``compiled`` is ``None`` if it could not be read."""

    compiled: Optional[CompiledGuard]
    fingerprint: bytes = b""
    digest: Optional[str] = None


class GuardTable:
    """Looks guards up and evaluates them. Thread-safe, fork-safe and immutable.

    Reads a document when its guard is first asked for; every later answer comes from
    memory. A guard that cannot be read counts as unknown.

    Args:
        documents: Each guard's JSON by name. Must not change; may read from elsewhere,
            and may raise for a single guard.
        on_problem: Called with one text for each guard, rule or dry run that is left
            out; once for each, and not again while its document stays the same.
        previous: The table before this one: what is the same in both stays compiled.
            It is not kept alive.
    """

    def __init__(
        self,
        documents: Mapping[str, bytes],
        *,
        on_problem: Optional[Callable[[str], None]] = None,
        previous: Optional[GuardTable] = None,
    ) -> None:
        self.token = object()
        """Identifies this table to whoever must not keep it alive."""
        self._documents = documents
        self._digest = (
            documents.digest if isinstance(documents, DigestedDocuments) else None
        )
        self._on_problem = on_problem
        self._entries: dict[str, _Entry] = {}
        self._inheritance = {} if previous is None else self._inherit(previous)

    def __len__(self) -> int:
        """Return how many guards there are."""
        return len(self._documents)

    def __contains__(self, name: object) -> bool:
        """Whether there is a document for *name*, readable or not."""
        return name in self._documents

    def names(self) -> tuple[str, ...]:
        """Return the names of all guards, in the order of the bundle."""
        return tuple(self._documents)

    def lookup(self, name: str) -> Optional[CompiledGuard]:
        """Return a guard, or ``None`` if it is unknown or cannot be read.

        The first call for a guard decodes it and may read its document.
        """
        entry = self._entries.get(name)
        if entry is not None:
            return entry.compiled
        return self._load(name) if name in self._documents else None

    def evaluate(
        self, name: str, properties: Properties, *, unadopted_open: bool = False
    ) -> GuardDecision:
        """Decide one guard. Applies no rate limit and records nothing.

        Args:
            name: The guard to ask for.
            properties: What the rules look at.
            unadopted_open: The answer of guards that are unknown or not adopted.
        """
        guard = self.lookup(name)
        if guard is None or not guard.adopted:
            is_open, index = unadopted_open, -1
            reason = GuardDecisionReason.UNADOPTED
        else:
            is_open, index = guard.evaluate(properties)
            reason = (
                GuardDecisionReason.DEFAULT_VALUE
                if index < 0
                else GuardDecisionReason.MATCHED_RULE
            )
        is_adopted = guard is not None and guard.adopted
        return GuardDecision(name, is_open, is_adopted, reason, index, dict(properties))

    def changed_names(self, other: GuardTable) -> set[str]:
        """Return the guards that only one of two tables has, or that differ.

        Compares digests if both tables have them; else reads every document.
        """
        mine, theirs = self._documents, other._documents
        if mine is theirs:
            return set()
        common = mine.keys() & theirs.keys()
        changed = {name for name in common if self._differs(other, name)}
        return (mine.keys() ^ theirs.keys()) | changed

    def _inherit(self, previous: GuardTable) -> dict[str, _Entry]:
        """Return what *previous* compiled of the guards that are still there."""
        known = {**previous._inheritance, **previous._entries}
        return {name: entry for name, entry in known.items() if name in self._documents}

    def _differs(self, other: GuardTable, name: str) -> bool:
        if self._digest is not None and other._digest is not None:
            return self._digest(name) != other._digest(name)
        try:
            return self._documents[name] != other._documents[name]
        except _UNREADABLE:
            return True

    def _load(self, name: str) -> Optional[CompiledGuard]:
        problems: tuple[str, ...] = ()
        try:
            entry = self._inherited(name)
            if entry is None:
                entry, problems = self._compile(name)
        except _UNREADABLE as error:
            entry, problems = _Entry(None), (f"it is left out: {error}",)
        kept = self._entries.setdefault(name, entry)
        if kept is entry and problems and self._on_problem is not None:
            self._on_problem(f"guard {name!r:.80}: {'; '.join(problems)}")
        return kept.compiled

    def _inherited(self, name: str) -> Optional[_Entry]:
        """Return what the previous table had if the document is still the same."""
        entry = self._inheritance.get(name)
        if entry is None:
            return None
        digest = self._digest(name) if self._digest is not None else None
        if digest is not None and entry.digest is not None:
            return entry if digest == entry.digest else None
        is_same = entry.fingerprint == _fingerprint(self._documents[name])
        return entry._replace(digest=digest) if is_same else None

    def _compile(self, name: str) -> tuple[_Entry, tuple[str, ...]]:
        document = self._documents[name]
        digest = self._digest(name) if self._digest is not None else None
        compiled, problems = _compile_document(document)
        return _Entry(compiled, _fingerprint(document), digest), problems


def _compile_document(
    document: bytes,
) -> tuple[Optional[CompiledGuard], tuple[str, ...]]:
    try:
        guard, problems = decode_guard(document)
    except BundleError as error:
        return None, (f"it is left out: {error}",)
    return _compile_guard(guard, list(problems))


def _compile_guard(
    guard: Guard, problems: list[str]
) -> tuple[CompiledGuard, tuple[str, ...]]:
    verdicts = []
    for index, rule in enumerate(guard.rules):
        notes: list[str] = []
        try:
            matches = compile_rule(rule, notes.append) if rule.enabled else never
        except BundleError as error:
            matches = never
            notes = [f"never matches: {error}"]
        problems.extend(f"rule {index} {note}" for note in notes)
        if matches is not never:
            verdicts.append((matches, (rule.result, index)))
    compiled = CompiledGuard(
        name=guard.name,
        adopted=guard.adopted,
        default_value=guard.default_value,
        rate_limit=guard.rate_limit,
        dry_run_rate_limit=guard.dry_run_rate_limit,
        is_limited=bool(guard.rate_limit or guard.dry_run_rate_limit),
        disable_measurement=guard.disable_measurement,
        rule_count=len(guard.rules),
        verdicts=tuple(verdicts),
    )
    return compiled, summary(problems)


def _fingerprint(document: bytes) -> bytes:
    return blake2b(document, digest_size=16).digest()


EMPTY = GuardTable({})
"""A table without guards."""
