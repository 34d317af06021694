"""The evaluator of the published package 0.7, without a client around it."""

from __future__ import annotations

from typing import Any, Callable

from flags import guards_to_evaluate
from measuring import serve

from liteguard.client import _parse_guard
from liteguard.decision import DetailedEvalResult
from liteguard.evaluation import evaluate_guard_detailed


def check(guard: Any, properties: dict[str, Any]) -> Callable[[], Any]:
    """Return what evaluates one guard."""
    return lambda: evaluate_guard_detailed(guard, properties)


cases = {}
for case, (sent, properties, expected) in guards_to_evaluate().items():
    decided = DetailedEvalResult(expected[0], expected[1])
    cases[case] = (check(_parse_guard(sent), properties), decided)
serve(cases)
