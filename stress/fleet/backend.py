"""A backend that is simulated: it answers or refuses at once, and counts by second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from liteguard.errors import TransportError
from liteguard.transport import BundleAnswer

if TYPE_CHECKING:
    from stress.fleet.loop import Loop

_BUNDLE = BundleAnswer(b'{"guards":[]}', '"v1"')
_UNCHANGED = BundleAnswer(None, '"v1"')

Refuse = Callable[[float], TransportError]


def cannot_be_reached(now: float) -> TransportError:
    """Return what a transport raises where nobody listens."""
    return TransportError(f"cannot reach it at {now} s")


class Backend:
    """Has one bundle that never changes.

    Args:
        loop: The clock.
        seconds: How long the simulation lasts.
        down: When it refuses, from and until, in seconds.
        refuse: Returns what is raised then, given the time.
    """

    def __init__(
        self,
        loop: Loop,
        seconds: int,
        down: Optional[tuple[float, float]] = None,
        refuse: Refuse = cannot_be_reached,
    ) -> None:
        self._loop = loop
        self._down_from, self._down_until = down or (0.0, 0.0)
        self._refuse = refuse
        self.polls = [0] * seconds
        """Requests for guards in each second."""
        self.bundles = 0
        """How many of them were answered with the whole bundle."""
        self.flushes = [0] * seconds
        """Requests with signals in each second."""

    def fetch(self, etag: str) -> BundleAnswer:
        """Answer a request for guards, as a transport does.

        Raises:
            TransportError: It is down.
        """
        self._count(self.polls)
        if etag:
            return _UNCHANGED
        self.bundles += 1
        return _BUNDLE

    def take(self) -> None:
        """Take signals.

        Raises:
            TransportError: It is down.
        """
        self._count(self.flushes)

    def _count(self, requests: list[int]) -> None:
        now = self._loop()
        requests[int(now)] += 1
        if self._down_from <= now < self._down_until:
            raise self._refuse(now)
