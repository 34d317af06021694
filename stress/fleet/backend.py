"""A backend that is simulated: it answers or refuses at once, and counts by second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from liteguard.errors import TransportError
from liteguard.transport import BundleAnswer

if TYPE_CHECKING:
    from stress.fleet.loop import Loop

_BUNDLE = BundleAnswer(b'{"guards":[]}', '"v1"')
_UNCHANGED = BundleAnswer(None, '"v1"')


class Backend:
    """Has one bundle that never changes.

    Args:
        loop: The clock.
        seconds: How long the simulation lasts.
        down: When it refuses, from and until, in seconds.
    """

    def __init__(
        self, loop: Loop, seconds: int, down: Optional[tuple[float, float]] = None
    ) -> None:
        self._loop = loop
        self._down_from, self._down_until = down or (0.0, 0.0)
        self.requests = [0] * seconds
        """Requests for guards in each second."""
        self.bundles = 0
        """How many of them were answered with the whole bundle."""

    def fetch(self, etag: str) -> BundleAnswer:
        """Answer a request for guards, as a transport does.

        Raises:
            TransportError: It is down.
        """
        now = self._loop()
        self.requests[int(now)] += 1
        if self._down_from <= now < self._down_until:
            raise TransportError("cannot reach it")
        if etag:
            return _UNCHANGED
        self.bundles += 1
        return _BUNDLE
