"""What a check answers when it is asked for its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class GuardDecisionReason(str, Enum):
    """Why a guard answered as it did."""

    MATCHED_RULE = "matched_rule"
    DEFAULT_VALUE = "default_value"
    UNADOPTED = "unadopted"
    FALLBACK = "fallback"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True)
class GuardDecision:
    """What a guard answered, and why.

    Args:
        name: The guard that was asked for.
        is_open: The answer.
        adopted: Whether the guard is adopted.
        reason: Why the answer is what it is.
        matched_rule_index: Index of the rule that decided; -1 unless a rule matched.
        properties: What the rules looked at; not part of the representation, because
            that ends up in logs.
    """

    name: str
    is_open: bool
    adopted: bool
    reason: GuardDecisionReason
    matched_rule_index: int = -1
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)


def decided(
    name: str, rule_index: int, properties: Mapping[str, Any], *, is_open: bool
) -> GuardDecision:
    """Return the decision of an adopted guard's rules.

    Args:
        name: The guard that was asked for.
        rule_index: Which rule decided, -1 if none did.
        properties: What the rules looked at; copied.
        is_open: The answer.
    """
    # A plain object becomes a decision when it is filled: the constructor, which sets
    # each field of a frozen class by a call, makes `evaluate` take twice as long.
    decision: Any = _Fields()
    decision.name = name
    decision.is_open = is_open
    decision.adopted = True
    decision.reason = _MATCHED_RULE if rule_index >= 0 else _DEFAULT_VALUE
    decision.matched_rule_index = rule_index
    decision.properties = {**properties}
    decision.__class__ = GuardDecision
    return decision  # type: ignore[no-any-return]  # what it has become


class _Fields:
    """What a decision is made of."""


_MATCHED_RULE = GuardDecisionReason.MATCHED_RULE
_DEFAULT_VALUE = GuardDecisionReason.DEFAULT_VALUE
