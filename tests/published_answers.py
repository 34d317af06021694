"""Asks the evaluator of the published package 0.7, many cases in one exchange."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Union

from published import finish, start_published

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RAISED = "OverflowError"
"""Stands for an answer where an integer is too large for the published evaluator."""

Answer = Union[tuple[bool, int], str]

_PROGRAM = """
import json, sys
from liteguard.client import _parse_guard
from liteguard.evaluation import evaluate_guard_detailed

def answer(guard, properties):
    try:
        decided = evaluate_guard_detailed(guard, properties)
    except OverflowError:
        return "OverflowError"
    return decided.result, decided.matched_rule_index

for line in sys.stdin:
    guards, subjects = json.loads(line)
    parsed = [_parse_guard(guard) for guard in guards]
    answers = [[answer(guard, subject) for subject in subjects] for guard in parsed]
    print(json.dumps(answers), flush=True)
"""


class PublishedEvaluator:
    """The published evaluator, in a process of its own while the block runs."""

    def __enter__(self) -> PublishedEvaluator:
        """Start the process."""
        self._process = start_published(_PROGRAM)
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whose input ends."""
        finish(self._process)

    def answers(
        self,
        guards: Sequence[Mapping[str, Any]],
        subjects: Sequence[Mapping[str, Any]],
    ) -> list[list[Answer]]:
        """Return for each guard, as sent, its answers for each subject's properties.

        An answer is the result and the index of the rule that decided, or `RAISED`.
        """
        orders, results = self._process.stdin, self._process.stdout
        assert orders is not None
        assert results is not None
        orders.write(json.dumps([guards, subjects]) + "\n")
        orders.flush()
        told = json.loads(results.readline())
        return [[a if a == RAISED else (a[0], a[1]) for a in row] for row in told]
