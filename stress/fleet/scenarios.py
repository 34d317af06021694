"""What a fleet goes through."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Optional

from liteguard.errors import TransportError, TransportRejected
from stress.fleet.lives import RATE_SECONDS

BEGIN_SECONDS = 300
"""When something happens; before it all is well."""
_LONG_SECONDS = 600
# The first interval and a half are the simulation's own beginning.
_SETTLED_SECONDS = int(1.5 * RATE_SECONDS)


@dataclass(frozen=True)
class Restart:
    """All processes of all hosts end, and others start.

    Args:
        within_seconds: Each host does at a moment by chance within so long.
        keeps_folder: Whether the state folder outlives them, as it does on a machine,
            and not in a container without a volume.
        after_seconds: When the first host may, from `BEGIN_SECONDS` on.
    """

    within_seconds: int
    keeps_folder: bool
    after_seconds: int = 0


@dataclass(frozen=True)
class Scenario:
    """One story. Times are seconds since the beginning.

    Args:
        name: Short and unique.
        title: For people.
        seconds: How long it lasts.
        busy_seconds: How long something goes on, from `BEGIN_SECONDS` on.
        is_down: Whether that is an outage.
        retry_after_seconds: What a backend that is down asks for; ``None`` if it
            cannot be reached.
        restart: When all processes restart, if they do.
        kill_leader_every_seconds: How often each host loses its leader; 0 for never.
    """

    name: str
    title: str
    seconds: int
    busy_seconds: int
    is_down: bool = False
    retry_after_seconds: Optional[float] = None
    restart: Optional[Restart] = None
    kill_leader_every_seconds: int = 0

    @property
    def down(self) -> Optional[tuple[float, float]]:
        """From when and until when the backend refuses."""
        return (BEGIN_SECONDS, self.end_seconds) if self.is_down else None

    def refuse(self, now: float) -> TransportError:
        """Return what a transport raises while the backend is down, at *now*."""
        if self.retry_after_seconds is None:
            return TransportError(f"cannot reach it at {now} s")
        pause = self.retry_after_seconds
        return TransportRejected("503", status_code=503, retry_after_seconds=pause)

    @property
    def end_seconds(self) -> int:
        """When it is over."""
        return BEGIN_SECONDS + self.busy_seconds

    def chance(self, *fleet: int) -> random.Random:
        """Return chance that is the same whenever this is simulated with *fleet*."""
        return random.Random(f"{self.name} {fleet}")  # noqa: S311  no secret

    def restart_at(self, chance: random.Random) -> Optional[float]:
        """Return when one host's processes restart, if they do."""
        if self.restart is None:
            return None
        first = BEGIN_SECONDS + self.restart.after_seconds
        return first + chance.uniform(0.0, self.restart.within_seconds)

    @property
    def leader_killed_at(self) -> range:
        """The seconds in which each host loses its leader."""
        pause = self.kill_leader_every_seconds
        return self.during[::pause] if pause else range(0)

    @property
    def rest(self) -> range:
        """The seconds in which nothing has happened yet."""
        return range(_SETTLED_SECONDS, BEGIN_SECONDS)

    @property
    def during(self) -> range:
        """The seconds in which it happens."""
        return range(BEGIN_SECONDS, self.end_seconds)

    @property
    def after(self) -> range:
        """The seconds after it is over."""
        return range(self.end_seconds, self.seconds)


_CALM_SECONDS = 300


def _deploy(name: str, title: str, within_seconds: int, *, keeps: bool) -> Scenario:
    # The last host's processes are back four seconds later.
    busy = within_seconds + 5
    restart = Restart(within_seconds, keeps)
    seconds = BEGIN_SECONDS + busy + _CALM_SECONDS
    return Scenario(name, title, seconds, busy, restart=restart)


def _long(name: str, title: str, **more: Any) -> Scenario:
    seconds = BEGIN_SECONDS + _LONG_SECONDS + _CALM_SECONDS
    return Scenario(name, title, seconds, _LONG_SECONDS, **more)


DEPLOY = _deploy("deploy", "all restart within 10 s", 10, keeps=True)
DEPLOY_NEW = _deploy("deploy-new", "new containers within 10 s", 10, keeps=False)
ROLLING_NEW = _deploy(
    "rolling-new", "new containers within 10 minutes", _LONG_SECONDS, keeps=False
)
OUTAGE = _long("outage", "outage of 10 minutes", is_down=True)
OUTAGE_ASKING = _long(
    "outage-asking",
    "outage of 10 minutes, answered with `Retry-After: 60`",
    is_down=True,
    retry_after_seconds=60.0,
)
OUTAGE_NEW = _long(
    "outage-new",
    "outage of 10 minutes, and new containers within a second in its middle",
    is_down=True,
    restart=Restart(1, keeps_folder=False, after_seconds=_LONG_SECONDS // 2),
)
CHURN = _long(
    "churn",
    "for 10 minutes, each host's leader is killed every 30 s",
    kill_leader_every_seconds=30,
)
ALL = [DEPLOY, DEPLOY_NEW, ROLLING_NEW, OUTAGE, OUTAGE_ASKING, OUTAGE_NEW]
WHOLE = [CHURN, OUTAGE]
