"""Ours against the published 0.7 evaluator, and both against the documented table."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from liteguard.evaluation.bundle import Operator, decode_bundle
from liteguard.evaluation.table import GuardTable
from published_answers import RAISED, PublishedEvaluator

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

GUARDS = SUBJECTS = 12
EXAMPLES = 360
CASES = 50_000
"""At least so many pairs of a guard and properties are compared in one run."""

PROPERTIES = ["p", "q", "é"]
NAMES = st.sampled_from(PROPERTIES)
TEXTS = ["", "a", "b", "ab", "a\n", "1", "1.0", "True", "é", "e\u0301", "\ud800", "😀"]
NUMBERS = [0, 1, 2, -1, 0.5, 1.0, -0.0, 2**53, 2**53 + 1, 1e300, math.inf, math.nan]
HUGE = [10**350, -(10**350)]
OTHERS = [None, True, False, [], ["a"], {"a": 1}]
FEW = st.sampled_from([*TEXTS, *NUMBERS, *HUGE, *OTHERS])
VALUES = st.one_of(FEW, FEW, FEW, st.text(max_size=3), st.integers(), st.floats())
PATTERNS = st.lists(
    st.sampled_from(
        ["a", "b", "1", ".", "é", "^", "$", "a*", "b+", "[ab]", "[^a]", "(a|b)", r"\d"]
    ),
    max_size=4,
).map("".join)


def rules(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return rules as sent, of any operator and some values."""
    comparing = [op.value for op in Operator if op is not Operator.REGEX]
    common: dict[str, Any] = {
        "propertyName": NAMES,
        "result": st.booleans(),
        "enabled": st.sampled_from([True, True, True, False]),
    }
    comparison = st.fixed_dictionaries(
        {
            **common,
            "operator": st.sampled_from(comparing),
            "values": st.lists(values, max_size=3),
        }
    )
    expression = st.fixed_dictionaries(
        {
            **common,
            "operator": st.just("REGEX"),
            "values": st.lists(st.one_of(PATTERNS, values), max_size=2),
        }
    )
    return st.one_of(comparison, comparison, comparison, expression)


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return guards as sent and the properties of some subjects.

    Both take their values from a pool of few, so that they often are equal.
    """
    values = st.sampled_from(draw(st.lists(VALUES, min_size=1, max_size=5)))
    guard = st.fixed_dictionaries(
        {
            "adopted": st.just(value=True),
            "defaultValue": st.booleans(),
            "rules": st.lists(rules(values), max_size=4),
        }
    )
    subject = st.fixed_dictionaries({}, optional=dict.fromkeys(PROPERTIES, values))
    guards = draw(st.lists(guard, min_size=GUARDS, max_size=GUARDS))
    subjects = draw(st.lists(subject, min_size=SUBJECTS, max_size=SUBJECTS))
    return [{"name": str(n), **each} for n, each in enumerate(guards)], subjects


@pytest.fixture(scope="module")
def published() -> Iterator[PublishedEvaluator]:
    """Run the published evaluator beside the tests."""
    with PublishedEvaluator() as evaluator:
        yield evaluator


def our_table(sent: list[dict[str, Any]]) -> GuardTable:
    """Return the guards as a client gets them."""
    body = json.dumps({"guards": sent}).encode()
    return GuardTable(decode_bundle(body).documents)


def has_huge(*documents: object) -> bool:
    """Tell whether an integer occurs that no double can hold."""
    return any(str(huge).strip("-") in json.dumps(documents) for huge in HUGE)


@settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(exchange=exchanges())
def test_answers_are_those_of_the_table_and_of_the_published_package(
    published: PublishedEvaluator,
    exchange: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    """Answers and rule indexes are the table's, and 0.7's but for what is listed."""
    sent, subjects = exchange
    table = our_table(sent)
    answers = published.answers(sent, subjects)
    for guard, row in zip(sent, answers):
        compiled = table.lookup(guard["name"])
        assert compiled is not None
        for subject, theirs in zip(subjects, row):
            ours = compiled.evaluate(subject)
            assert ours == oracle.decide(guard, subject, oracle.rule_matches)
            if theirs == RAISED:
                assert has_huge(guard, subject)
            else:
                assert theirs == oracle.decide(
                    guard, subject, oracle.published_rule_matches
                )


def test_enough_cases_are_compared() -> None:
    """Each example compares every guard with every subject."""
    assert GUARDS * SUBJECTS * EXAMPLES >= CASES
