from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable

FIXTURE = Path(__file__).parent / "conformance" / "evaluation_cases.json"
# The file holds NaN and half surrogate pairs, which Python's json reads and writes.
CASES: list[dict[str, Any]] = json.loads(FIXTURE.read_text())["cases"]


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
