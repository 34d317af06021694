"""A backend that is simulated: it answers or refuses at once, and counts by second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from liteguard.transport import BundleAnswer

if TYPE_CHECKING:
    from liteguard.errors import TransportError
    from stress.fleet.loop import Loop
    from stress.fleet.scenarios import Scenario

_BUNDLE = BundleAnswer(b'{"guards":[]}', '"v1"')
_UNCHANGED = BundleAnswer(None, '"v1"')

Refuse = Callable[[float], "TransportError"]


class Backend:
    """Has one bundle that never changes.

    Args:
        loop: The clock.
        scenario: When it is down.
        refuse: Returns what is raised then, given the time; ``None`` for the
            scenario's own.
    """

    def __init__(
        self,
        loop: Loop,
        scenario: Scenario,
        refuse: Optional[Refuse] = None,
    ) -> None:
        self._loop = loop
        self._down = scenario.down or (0.0, 0.0)
        self._refuse = refuse or scenario.refuse
        self.polls = [0] * scenario.seconds
        """Requests for guards in each second."""
        self.bundles = 0
        """How many of them were answered with the whole bundle."""
        self.flushes = [0] * scenario.seconds
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
        if self._down[0] <= now < self._down[1]:
            raise self._refuse(now)
