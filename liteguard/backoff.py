"""How long to wait after a failure: growing, random, and as the backend asks."""

from __future__ import annotations

import random
from typing import Callable, Optional

_LONGEST_RETRY_AFTER_SECONDS = 3600.0
_DOUBLINGS = 32


class Backoff:
    """Exponential backoff with full jitter, for one thing that is tried repeatedly.

    The n-th failure in a row waits a random time between nothing and
    ``base * 2**n``, at most *cap*: hosts that failed together do not return together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    Used by one thread at a time.

    Args:
        base_seconds: Upper bound of the first wait, before it is doubled.
        cap_seconds: Upper bound of every wait.
        uniform: Draws between two numbers; replaceable by a simulation.
    """

    def __init__(
        self,
        base_seconds: float,
        cap_seconds: float,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._uniform = uniform
        self.failures = 0

    def succeed(self) -> None:
        """Forget the failures."""
        self.failures = 0

    def fail(self, retry_after_seconds: Optional[float] = None) -> float:
        """Count a failure and return the seconds to wait.

        Args:
            retry_after_seconds: What the backend asked for: never tried earlier,
                unless it asks for more than an hour, and a random time later, since
                it may have named the same moment to every host.
        """
        self.failures += 1
        ceiling = self._base_seconds * 2.0 ** min(self.failures, _DOUBLINGS)
        asked = min(retry_after_seconds or 0.0, _LONGEST_RETRY_AFTER_SECONDS)
        return asked + self._uniform(0.0, min(self._cap_seconds, max(ceiling, asked)))

    def refuse(self, retry_after_seconds: Optional[float] = None) -> float:
        """Count a refusal that time alone rarely mends, and return the seconds to wait.

        Half the cap at least: a wrong token is not asked about every second.
        """
        self.failures += 1
        asked = min(retry_after_seconds or 0.0, _LONGEST_RETRY_AFTER_SECONDS)
        return asked + self._uniform(self._cap_seconds / 2.0, self._cap_seconds)
