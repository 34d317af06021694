from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from typing import Any, Optional

import pytest

from clients import rule
from liteguard.errors import SnapshotError
from liteguard.evaluation.bundle import DryRunRateLimit, RateLimit
from liteguard.evaluation.decision import GuardDecision, GuardDecisionReason
from liteguard.evaluation.table import EMPTY, GuardTable

RULE = {"propertyName": "plan", "operator": "EQUALS", "values": ["pro"], "result": True}


def document(name: str = "g", **fields: Any) -> bytes:
    """Return an adopted guard as the backend sends it."""
    return json.dumps({"name": name, "adopted": True, **fields}).encode()


def documents(*names: str, **fields: Any) -> dict[str, bytes]:
    """Return adopted guards of some names."""
    return {name: document(name, **fields) for name in names}


class CountingDocuments(Mapping[str, bytes]):
    """Documents that note which of them are read."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self._documents = documents
        self.read: list[str] = []

    def __getitem__(self, name: str) -> bytes:
        """Read a document."""
        document = self._documents[name]
        self.read.append(name)
        return document

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._documents)

    def __len__(self) -> int:
        """Count the documents."""
        return len(self._documents)

    def __contains__(self, name: object) -> bool:
        """Look for a name."""
        return name in self._documents


class DigestedDocuments(CountingDocuments):
    """Documents that tell what changed without being read."""

    def digest(self, name: str) -> str:
        """Return what changes with a document."""
        return str(hash(self._documents[name]))


class FailingDocuments(CountingDocuments):
    """Documents of which each fails to be read."""

    def __init__(self, error: Exception, *names: str) -> None:
        super().__init__(documents(*names))
        self._error = error

    def __getitem__(self, name: str) -> bytes:
        """Fail."""
        raise self._error


def test_a_guard_has_its_attributes() -> None:
    """What a check needs beside the answer stands ready."""
    table = GuardTable(
        documents(
            "g",
            defaultValue=True,
            rules=[RULE, RULE],
            rateLimit={"requestsPerMinute": 5},
            dryRunRateLimit={"dryRunId": "trial", "requestsPerMinute": 7},
            disableMeasurement=True,
        )
    )
    guard = table.lookup("g")
    assert guard is not None
    assert (guard.name, guard.adopted, guard.default_value) == ("g", True, True)
    assert guard.rate_limit == RateLimit(5)
    assert guard.dry_run_rate_limit == DryRunRateLimit("trial", 7)
    assert guard.disable_measurement
    assert guard.rule_count == 2


def test_the_index_counts_every_rule() -> None:
    """Disabled, unreadable and refused rules are counted by the index."""
    guard = GuardTable(
        documents(
            "g",
            rules=[
                {**RULE, "enabled": False},
                {**RULE, "operator": "CONTAINS"},
                {**RULE, "operator": "REGEX", "values": ["("]},
                {**RULE, "values": []},
                RULE,
            ],
        )
    ).lookup("g")
    assert guard is not None
    assert guard.rule_count == 5
    assert guard.evaluate({"plan": "pro"}) == (True, 4)
    assert guard.evaluate({"plan": "free"}) == (False, -1)


def test_a_decision_tells_its_reason() -> None:
    """A decision holds the answer, the reason, the rule and the properties."""
    table = GuardTable(documents("g", rules=[RULE]))
    pro, free = {"plan": "pro"}, {"plan": "free"}
    assert table.evaluate("g", pro) == GuardDecision(
        name="g",
        is_open=True,
        adopted=True,
        reason=GuardDecisionReason.MATCHED_RULE,
        matched_rule_index=0,
        properties=pro,
    )
    assert table.evaluate("g", free) == GuardDecision(
        name="g",
        is_open=False,
        adopted=True,
        reason=GuardDecisionReason.DEFAULT_VALUE,
        matched_rule_index=-1,
        properties=free,
    )


@pytest.mark.parametrize("unadopted_open", [True, False])
@pytest.mark.parametrize("name", ["unknown", "unadopted", "bad"])
def test_a_guard_that_is_not_adopted_has_one_answer(
    name: str, *, unadopted_open: bool
) -> None:
    """Unknown, unadopted and unreadable guards answer as the caller wishes."""
    table = GuardTable(
        {
            "unadopted": document("unadopted", adopted=False, defaultValue=True),
            "bad": document("bad", defaultValue="true"),
        }
    )
    assert table.evaluate(name, {}, unadopted_open=unadopted_open) == GuardDecision(
        name=name,
        is_open=unadopted_open,
        adopted=False,
        reason=GuardDecisionReason.UNADOPTED,
    )
    assert not table.evaluate(name, {}).is_open


def test_a_decision_keeps_its_own_properties() -> None:
    """Editing the properties later changes no decision, and none is represented."""
    properties = {"plan": "secret-plan"}
    decision = GuardTable(documents("g")).evaluate("g", properties)
    properties["plan"] = "free"
    assert decision.properties == {"plan": "secret-plan"}
    assert "secret-plan" not in repr(decision)


def test_decisions_and_guards_cannot_be_changed() -> None:
    """They are shared without a lock."""
    table = GuardTable(documents("g"))
    guard, decision = table.lookup("g"), table.evaluate("g", {})
    with pytest.raises(FrozenInstanceError):
        decision.is_open = True  # type: ignore[misc]  # this is what must fail
    with pytest.raises(FrozenInstanceError):
        guard.adopted = False  # type: ignore[misc, union-attr]  # must fail too


def test_a_guard_is_read_when_it_is_first_asked_for() -> None:
    """A guard that nobody asks for is never read, and no guard twice."""
    lazy = CountingDocuments(documents("a", "b", "c"))
    table = GuardTable(lazy)
    assert len(table) == 3
    assert table.names() == ("a", "b", "c")
    assert "a" in table
    assert "x" not in table
    assert table.lookup("x") is None
    assert lazy.read == []
    guard = table.lookup("b")
    assert table.lookup("b") is guard
    table.evaluate("b", {})
    assert lazy.read == ["b"]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b"{", "guard 'bad': it is left out: it is no JSON: "),
        (
            document("bad", defaultValue="no"),
            "guard 'bad': it is left out: defaultValue must be true or false, not str",
        ),
    ],
)
def test_one_bad_guard_is_told_once(bad: bytes, problem: str) -> None:
    """It counts as unknown, the others answer, and the next table is silent."""
    told: list[str] = []
    all_documents = {"bad": bad, **documents("good", defaultValue=True)}
    table = GuardTable(all_documents, on_problem=told.append)
    for _ in range(3):
        assert table.lookup("bad") is None
        assert table.evaluate("good", {}).is_open
    following = GuardTable(dict(all_documents), on_problem=told.append, previous=table)
    assert following.lookup("bad") is None
    assert len(told) == 1
    assert told[0].startswith(problem)


def test_the_bad_rules_of_a_guard_are_told_in_one_text() -> None:
    """The guard is named, and the first of its bad rules with their indexes."""
    told: list[str] = []
    rules = [
        {**RULE, "operator": "NEAR"},
        {**RULE, "operator": "REGEX", "values": ["("]},
    ]
    table = GuardTable(
        documents("g", rules=[RULE, *rules, *rules * 10]), on_problem=told.append
    )
    assert table.evaluate("g", {"plan": "pro"}).is_open
    (problem,) = told
    assert problem.startswith(
        "guard 'g': rule 1 never matches: operator 'NEAR' is unknown; rule 3 never"
    )
    assert problem.endswith("; and 12 more problems")


@pytest.mark.parametrize(
    "error", [SnapshotError("damaged", path="x"), OSError("gone"), KeyError("g")]
)
def test_a_document_that_cannot_be_read_loses_its_guard(error: Exception) -> None:
    """Whatever reading raises, the check answers."""
    told: list[str] = []
    table = GuardTable(FailingDocuments(error, "g"), on_problem=told.append)
    assert table.lookup("g") is None
    assert table.lookup("g") is None
    assert told == [f"guard 'g': it is left out: {error}"]


def test_problems_may_go_untold() -> None:
    """Without a callback a bad guard is lost in silence."""
    assert GuardTable({"g": b""}).lookup("g") is None


@pytest.mark.parametrize("first", [dict, CountingDocuments, DigestedDocuments])
@pytest.mark.parametrize("second", [dict, CountingDocuments, DigestedDocuments])
def test_an_unchanged_guard_stays_compiled(first: Any, second: Any) -> None:
    """It survives tables that never asked for it; a changed one is compiled again."""
    table = GuardTable(first(documents("a", "b")))
    kept, replaced = table.lookup("a"), table.lookup("b")
    changed = {**documents("a"), **documents("b", defaultValue=True)}
    for _ in range(3):
        table = GuardTable(second(changed), previous=table)
    assert table.lookup("a") is kept
    assert table.lookup("b") is not replaced
    assert table.evaluate("b", {}).is_open


def test_a_digest_spares_reading() -> None:
    """Where documents have digests, an unchanged guard is not read again."""
    first = GuardTable(DigestedDocuments(documents("a", "b")))
    first.lookup("a")
    lazy = DigestedDocuments(documents("a", "b"))
    second = GuardTable(lazy, previous=first)
    assert second.lookup("a") is first.lookup("a")
    assert second.changed_names(first) == set()
    assert lazy.read == []


def test_a_digest_is_learned_by_reading_once() -> None:
    """A guard compiled from documents without digests is read once more."""
    first = GuardTable(documents("g"))
    first.lookup("g")
    lazy = DigestedDocuments(documents("g"))
    second = GuardTable(lazy, previous=first)
    second.lookup("g")
    third = GuardTable(lazy, previous=second)
    assert third.lookup("g") is first.lookup("g")
    assert lazy.read == ["g"]


def test_a_document_that_became_unreadable_loses_its_guard() -> None:
    """What was compiled before is not used for a document that nobody has seen."""
    first = GuardTable(documents("g", defaultValue=True))
    assert first.evaluate("g", {}).is_open
    failing = FailingDocuments(OSError("gone"), "g")
    second = GuardTable(failing, previous=first)
    assert second.lookup("g") is None
    third = GuardTable(documents("g", defaultValue=True), previous=second)
    assert third.evaluate("g", {}).is_open


def test_earlier_tables_are_not_kept_alive() -> None:
    """A table holds what was compiled, not the table that compiled it."""
    table = GuardTable(documents("g", "gone"))
    table.lookup("g")
    gone = weakref.ref(table.lookup("gone"))
    first = weakref.ref(table)
    table = GuardTable(documents("g"), previous=table)
    gc.collect()
    assert first() is None
    assert gone() is None
    assert table.lookup("g") is not None


@pytest.mark.parametrize("mine", [dict, CountingDocuments, DigestedDocuments])
@pytest.mark.parametrize("theirs", [dict, CountingDocuments, DigestedDocuments])
def test_changed_names_are_those_that_differ(mine: Any, theirs: Any) -> None:
    """Added, removed and edited guards are named, from either side."""
    old = GuardTable(theirs(documents("same", "edited", "removed")))
    new = GuardTable(
        mine(documents("added", "same") | documents("edited", defaultValue=True))
    )
    assert new.changed_names(old) == {"added", "edited", "removed"}
    assert old.changed_names(new) == {"added", "edited", "removed"}
    assert new.changed_names(new) == set()
    assert EMPTY.changed_names(new) == {"added", "same", "edited"}


def test_tables_of_the_same_documents_need_no_comparison() -> None:
    """Nothing is read to find out that nothing changed."""
    lazy = CountingDocuments(documents("a", "b"))
    assert GuardTable(lazy).changed_names(GuardTable(lazy)) == set()
    assert lazy.read == []


def test_a_document_that_cannot_be_compared_has_changed() -> None:
    """A listener is called once too often rather than not at all."""
    failing = GuardTable(FailingDocuments(OSError("gone"), "g"))
    assert GuardTable(documents("g")).changed_names(failing) == {"g"}


def test_an_empty_table_knows_no_guard() -> None:
    """It answers like any other table."""
    assert len(EMPTY) == 0
    assert EMPTY.names() == ()
    assert EMPTY.evaluate("g", {}).reason is GuardDecisionReason.UNADOPTED


def test_unknown_names_take_no_memory() -> None:
    """Asking for names that no bundle holds leaves nothing behind."""
    table = GuardTable(documents("g"))
    for number in range(100):
        table.lookup(f"unknown-{number}")
    assert table._entries == {}


def test_of_two_that_compile_one_wins() -> None:
    """Whoever is overtaken takes the other's guard and repeats no problem."""
    won = []

    class Overtaking(CountingDocuments):
        def __getitem__(self, name: str) -> bytes:
            document = super().__getitem__(name)
            if len(self.read) == 1:
                won.append(table.lookup(name))
            return document

    told: list[str] = []
    bad_rule = {**RULE, "operator": "NEAR"}
    overtaking = Overtaking(documents("g", rules=[bad_rule]))
    table = GuardTable(overtaking, on_problem=told.append)
    assert table.lookup("g") is won[0]
    assert table.lookup("g") is won[0]
    assert len(told) == 1


def test_threads_may_ask_for_the_same_guards_first() -> None:
    """All of eight threads get the same guards, and each problem is told once."""
    names = [f"guard-{n}" for n in range(200)]
    told: list[str] = []
    rules = [RULE, {**RULE, "operator": "NEAR"}]
    table = GuardTable(documents(*names, rules=rules), on_problem=told.append)
    start = threading.Barrier(8)
    found: list[list[Optional[int]]] = []

    def ask() -> None:
        start.wait(timeout=10)
        guards = [table.lookup(name) for name in names]
        found.append([id(guard) for guard in guards])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(found) == 8
    assert all(guards == found[0] for guards in found)
    assert sorted(told) == sorted(set(told))
    assert len(told) == len(names)


class Failing(dict[Any, Any]):
    """Properties that cannot be read, but for one."""

    def get(self, name: Any, default: Any = None) -> Any:
        """Fail for all but one."""
        if name != "q":
            raise ZeroDivisionError
        return super().get(name, default)


class Key:
    """A key that looks like a name, and cannot be compared with one."""

    def __hash__(self) -> int:
        """Return the hash of the name."""
        return hash("p")

    def __eq__(self, other: object) -> bool:
        """Fail."""
        raise ZeroDivisionError


def test_properties_that_fail_match_nothing() -> None:
    """The rules that can read their property decide."""
    rules = [rule("p", "a"), rule("q", "b")]
    compiled = GuardTable({"g": document("g", rules=rules)}).lookup("g")
    assert compiled is not None
    assert compiled.evaluate(Failing(q="b")) == (True, 1)
    assert compiled.evaluate(Failing()) == (False, -1)
    unreadable: dict[Any, Any] = {Key(): "a", "q": "b"}
    assert compiled.evaluate(unreadable) == (True, 1)


@pytest.mark.parametrize("name", [1, None, ("a",), b"p", 1.5, frozenset()])
def test_property_names_may_be_of_any_type(name: Any) -> None:
    """They are no property that a rule names."""
    compiled = GuardTable({"g": document("g", rules=[rule("p", "a")])}).lookup("g")
    assert compiled is not None
    assert compiled.evaluate({name: "a"}) == (False, -1)
    assert compiled.evaluate({name: "a", "p": "a"}) == (True, 0)
