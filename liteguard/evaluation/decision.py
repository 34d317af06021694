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
