"""Timeouts as callers give them: checked, and bounded by what a platform can wait."""

from __future__ import annotations

import math
from typing import Optional

from liteguard.errors import ConfigurationError
from liteguard.options import LONGEST_WAIT_SECONDS


def resolve_timeout(timeout: Optional[float], default: float) -> float:
    """Return *timeout* in seconds, or *default* if it was not given.

    Raises:
        ConfigurationError: It is no number of seconds.
    """
    if timeout is None:
        return default
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not is_number or not 0 <= timeout < math.inf:
        raise ConfigurationError(
            f"timeout={timeout!r}: must be a number of seconds, 0 or more",
            field="timeout",
        )
    return float(min(timeout, LONGEST_WAIT_SECONDS))
