"""Trials: what a guard would answer to some properties, and why.

The client's own evaluation decides, so that its answer is the client's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Optional

from pydantic import Field

from liteguard.devserver.wire import Guard, Managed, Name, Scalar, Served
from liteguard.errors import BundleError
from liteguard.evaluation.decoding import decode_guard
from liteguard.evaluation.rules import compile_rule, never
from liteguard.evaluation.table import GuardTable

if TYPE_CHECKING:
    from liteguard.evaluation.bundle import Rule
    from liteguard.types import Properties

Outcome = Literal["matched", "not_matched", "disabled", "never_matches"]


class Trial(Managed):
    """What to try.

    Args:
        guard: The guard, stored or not.
        properties: What the rules look at.
    """

    guard: Guard
    properties: dict[Name, Scalar] = Field(default_factory=dict)


class RuleTrial(Served):
    """One rule's part.

    Args:
        outcome: Whether it matches, taken by itself.
        problem: What is wrong with a rule that can never match; else ``None``.
    """

    outcome: Outcome
    problem: Optional[str] = None


class TrialAnswer(Served):
    """What a client would answer; rate limits are left out.

    Args:
        is_open: The answer.
        reason: ``matched_rule``, ``default_value`` or ``unadopted``.
        matched_rule_index: The rule that decided; -1 if none did.
        rules: What each rule says by itself, in order.
    """

    is_open: bool
    reason: str
    matched_rule_index: int
    rules: list[RuleTrial]


def try_guard(trial: Trial) -> TrialAnswer:
    """Return what a client with this guard answers to these properties."""
    document = trial.guard.encode().encode()
    decoded, _ = decode_guard(document)
    table = GuardTable({decoded.name: document})
    decision = table.evaluate(decoded.name, trial.properties)
    return TrialAnswer(
        is_open=decision.is_open,
        reason=decision.reason.value,
        matched_rule_index=decision.matched_rule_index,
        rules=[_try_rule(rule, trial.properties) for rule in decoded.rules],
    )


def _try_rule(rule: Rule, properties: Properties) -> RuleTrial:
    try:
        matches = compile_rule(rule)
    except BundleError as error:
        return RuleTrial(outcome="never_matches", problem=str(error))
    if matches is never:
        return RuleTrial(outcome="never_matches", problem=_why_never(rule))
    if not rule.enabled:
        return RuleTrial(outcome="disabled")
    return RuleTrial(outcome="matched" if matches(properties) else "not_matched")


def _why_never(rule: Rule) -> str:
    if not rule.values:
        return "it has no value to compare with"
    return "no property can match its value"
