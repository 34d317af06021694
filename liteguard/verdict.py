"""What a check comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from liteguard.evaluation.decision import GuardDecisionReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liteguard.telemetry.execution import SignalRef

Answer = tuple[
    bool,
    GuardDecisionReason,
    int,
    Optional["Mapping[str, Any]"],
    bytes,
    bool,
    Optional["SignalRef"],
]
"""The fields of a `Verdict`. Most callers want the first alone, and a named tuple takes
as long to make as deciding a guard."""


class Verdict(NamedTuple):
    """An answer, with what a decision and an execution need beside it.

    Args:
        is_open: The answer.
        reason: Why.
        rule_index: Which rule decided, -1 if none did.
        properties: What the rules saw; ``None`` where no adopted guard was asked.
        encoded: The properties as they were recorded.
        is_measured: Whether readings of the process belong to the record.
        signal: What the record is called, if there is one and it had not to wait.
    """

    is_open: bool
    reason: GuardDecisionReason
    rule_index: int
    properties: Optional[Mapping[str, Any]]
    encoded: bytes
    is_measured: bool
    signal: Optional[SignalRef]
