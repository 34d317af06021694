from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import oracle
from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable
from published_answers import RAISED, PublishedEvaluator

FIXTURE = Path(__file__).parent / "conformance" / "evaluation_cases.json"
# The file holds NaN and half surrogate pairs, which Python's json reads and writes.
CASES: list[dict[str, Any]] = json.loads(FIXTURE.read_text())["cases"]


EVERY = "EQUALS NOT_EQUALS IN NOT_IN REGEX GT GTE LT LTE"
EQUALITY = "EQUALS NOT_EQUALS IN NOT_IN"
ORDER = "GT GTE LT LTE"
HUGE = "[differs from 0.7, which raises]"
NAN = "[differs from 0.7, which matches] NaN"

ROWS = {
    "property missing": (EVERY, "a missing property matches nothing"),
    "property None": (EVERY, "a null property matches nothing"),
    "values empty": (EVERY, "without values nothing matches"),
    "disabled rule": ("", "a disabled rule is skipped"),
    "first match decides": ("", "the first match decides, closed"),
    "else the default": ("", "no rule matches: the default decides"),
    "single-value operators": (
        "EQUALS NOT_EQUALS REGEX " + ORDER,
        "only the first value counts",
    ),
    "int against float": (EQUALITY, "an integer and a float of one value"),
    "int against float, ordered": (ORDER, "an integer and a float, equal"),
    "bool against number": (EQUALITY, "true is not 1"),
    "number against bool": (EQUALITY, "1 is not true"),
    "bool against number, ordered": (ORDER, "true and number: no order"),
    "bool against bool, ordered": (ORDER, "false and true: no order"),
    "string against number": (EQUALITY, "a digit text is not a number"),
    "string against number, ordered": (ORDER, "text and number: no order"),
    "digits are text": (ORDER, "digits are compared as texts"),
    "value null": (EQUALITY, "a null value equals no present property"),
    "value null, ordered": (ORDER, "null value: no order"),
    "NaN": (EQUALITY, "NaN does not equal NaN"),
    "NaN, strictly ordered": ("GT LT", "NaN property: no order"),
    "NaN, ordered": ("GTE LTE", f"{NAN} property: no order"),
    "integers above 2^53": (EQUALITY + " " + ORDER, "integers above 2^53 are doubles"),
    "too large, equal": (EQUALITY, f"{HUGE} integers beyond a double are infinite"),
    "too large, ordered": (ORDER, f"{HUGE} an integer beyond a double is greater"),
    "list property": (EQUALITY, "a list property equals nothing"),
    "list property, ordered": (ORDER, "list property: no order"),
    "string ordering": (ORDER, "by code point, not by UTF-16 unit"),
    "Unicode": (EQUALITY, "no Unicode normalisation"),
    "REGEX unanchored": ("REGEX", "anywhere in the text"),
    "REGEX True": ("REGEX", "a true property reads True"),
    "REGEX 1.0": ("REGEX", "a float property keeps its point"),
    "REGEX final newline": ("REGEX", "the end is also before a final newline"),
    "REGEX invalid": ("REGEX", "an invalid pattern matches nothing"),
}
"""Each row of the documented table: its operators, and the name of their cases."""

BOUNDED = {
    f"REGEX: {differs} matches nothing"
    for differs in (
        "[differs from 0.7, which hangs] a pattern that could take exponential time",
        "[differs from 0.7, which matches] a text of more than 1,000 characters",
    )
}
"""Where a bound on regular expressions decides, which the table does not know."""


def on_the_wire(guard: dict[str, Any]) -> dict[str, Any]:
    """Return a guard of the fixture as the backend would send it."""
    rules = [
        {
            "propertyName": rule["property_name"],
            "operator": rule["operator"],
            "values": rule["values"],
            "result": rule["result"],
            "enabled": rule["enabled"],
        }
        for rule in guard["rules"]
    ]
    return {
        "name": "guard",
        "adopted": True,
        "defaultValue": guard["default_value"],
        "rules": rules,
    }


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_conformance(case: dict[str, Any]) -> None:
    """A guard that came over the wire answers as the fixture says."""
    body = json.dumps({"guards": [on_the_wire(case["guard"])]}).encode()
    guard = GuardTable(decode_bundle(body).documents).lookup("guard")
    assert guard is not None
    assert guard.evaluate(case["properties"])[0] is case["expected"]


def test_each_operator_has_cases() -> None:
    """The fixture names every operator."""
    operators = {rule["operator"] for case in CASES for rule in case["guard"]["rules"]}
    expected = "EQUALS NOT_EQUALS IN NOT_IN REGEX GT GTE LT LTE"
    assert operators == set(expected.split())


@pytest.mark.parametrize("row", ROWS)
def test_each_row_of_the_table_has_cases(row: str) -> None:
    """Each operator that a row of the documented table is about has its case."""
    operators, told = ROWS[row]
    names = {case["name"] for case in CASES}
    wanted = {f"{operator}: {told}" for operator in operators.split()} or {told}
    assert wanted - names == set()


def test_the_table_itself_says_the_same() -> None:
    """An independent reading of the table expects what the fixture expects."""
    others = {
        case["name"]
        for case in CASES
        if decided_by_the_table(case) is not case["expected"]
    }
    assert others == BOUNDED


def test_the_published_package_says_the_same_but_where_it_is_marked() -> None:
    """A case is marked if, and only if, 0.7 answers otherwise or raises."""
    cases = [case for case in CASES if "which hangs" not in case["name"]]
    with PublishedEvaluator() as published:
        answers = [
            published.answers([on_the_wire(case["guard"])], [case["properties"]])[0][0]
            for case in cases
        ]
    others = {
        case["name"]: answer
        for case, answer in zip(cases, answers)
        if answer[0] is not case["expected"]
    }
    assert others.keys() == {c["name"] for c in cases if "[differs" in c["name"]}
    raising = {name for name, answer in others.items() if answer == RAISED}
    assert raising == {name for name in others if "which raises" in name}


def decided_by_the_table(case: dict[str, Any]) -> bool:
    """Return the answer of the independent reading of the table."""
    guard = on_the_wire(case["guard"])
    return oracle.decide(guard, case["properties"], oracle.rule_matches)[0]
