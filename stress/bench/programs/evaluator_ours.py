"""This tree's evaluator, without a client around it."""

from __future__ import annotations

import json
from typing import Any, Callable

from flags import guards_to_evaluate
from measuring import serve

from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import CompiledGuard, GuardTable


def check(guard: CompiledGuard, properties: dict[str, Any]) -> Callable[[], Any]:
    """Return what evaluates one guard."""
    return lambda: guard.evaluate(properties)


cases = {}
for case, (sent, properties, expected) in guards_to_evaluate().items():
    body = json.dumps({"guards": [sent]}).encode()
    guard = GuardTable(decode_bundle(body).documents).lookup(sent["name"])
    assert guard is not None  # noqa: S101  it was put there
    cases[case] = (check(guard, properties), expected)
serve(cases)
