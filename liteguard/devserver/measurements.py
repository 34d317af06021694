"""What a signal's measurement and rate-limit decisions tell, as columns to count.

Both come from clients as free documents: whatever has another form counts as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from liteguard.devserver.wire import MAX_TIMESTAMP_MS

if TYPE_CHECKING:
    from liteguard.devserver.wire import Signal

MAX_ERROR_CHARACTERS = 200
MAX_DURATION_NS = MAX_TIMESTAMP_MS


def columns_of(signal: Signal) -> dict[str, object]:
    """Return the columns that are counted: duration, error, and limits reached."""
    execution = (signal.measurement or {}).get("guardExecution")
    outcomes = [_outcome(decision) for decision in signal.rate_limit_decisions or []]
    return {
        "duration_ns": _duration(execution),
        "error_class": _error(execution),
        "limited": "limited" in outcomes,
        "would_limit": "would_limit" in outcomes,
    }


def _duration(execution: Any) -> Optional[int]:
    value = execution.get("durationNs") if isinstance(execution, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(min(max(value, 0), MAX_DURATION_NS))


def _error(execution: Any) -> Optional[str]:
    value = execution.get("errorClass") if isinstance(execution, dict) else None
    if not isinstance(value, str) or not value:
        return None
    return value[:MAX_ERROR_CHARACTERS]


def _outcome(decision: dict[str, Any]) -> object:
    outcome = decision.get("outcome")
    return outcome if isinstance(outcome, str) else None
