"""What a fleet goes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from stress.fleet.host import RATE_SECONDS

BEGIN_SECONDS = 300
"""When something happens; before it all is well."""
OUTAGE_SECONDS = 600
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
        restart: When all processes restart, if they do.
    """

    name: str
    title: str
    seconds: int
    busy_seconds: int
    is_down: bool = False
    restart: Optional[Restart] = None

    @property
    def down(self) -> Optional[tuple[float, float]]:
        """From when and until when the backend refuses."""
        return (BEGIN_SECONDS, self.end_seconds) if self.is_down else None

    @property
    def end_seconds(self) -> int:
        """When it is over."""
        return BEGIN_SECONDS + self.busy_seconds

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


def _deploy(name: str, title: str, within_seconds: int, *, keeps: bool) -> Scenario:
    # The last host's processes are back four seconds later.
    busy, calm = within_seconds + 5, 600
    restart = Restart(within_seconds, keeps)
    return Scenario(name, title, BEGIN_SECONDS + busy + calm, busy, restart=restart)


_OUTAGE_END = BEGIN_SECONDS + OUTAGE_SECONDS + 600
OUTAGE = Scenario(
    "outage", "outage of 10 minutes", _OUTAGE_END, OUTAGE_SECONDS, is_down=True
)
OUTAGE_AND_RESTART = Scenario(
    "outage-restart",
    "outage of 10 minutes, new containers within a second in the middle of it",
    _OUTAGE_END,
    OUTAGE_SECONDS,
    is_down=True,
    restart=Restart(1, keeps_folder=False, after_seconds=OUTAGE_SECONDS // 2),
)
DEPLOY = _deploy("deploy", "all restart within 10 s", 10, keeps=True)
DEPLOY_NEW = _deploy("deploy-new", "new containers within 10 s", 10, keeps=False)
ROLLING = _deploy("rolling", "all restart within 10 minutes", 600, keeps=True)
ROLLING_NEW = _deploy(
    "rolling-new", "new containers within 10 minutes", 600, keeps=False
)
ALL = [DEPLOY, DEPLOY_NEW, ROLLING, ROLLING_NEW, OUTAGE, OUTAGE_AND_RESTART]
