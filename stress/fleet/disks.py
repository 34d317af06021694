"""The state folder of a simulated host: a real one, or one that is only remembered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Protocol

from liteguard.host.in_force import BundleInForce
from liteguard.host.leadership import LeaderLock
from liteguard.host.polls import PollLog
from liteguard.host.snapshots import Snapshot, SnapshotStore
from liteguard.host.statedir import StateFolder
from liteguard.process.identity import current_identity

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "pct-simulated"  # noqa: S105  nobody's
BOOT = "simulated"
_DAY_SECONDS = 86400.0

Clock = Callable[[], float]


class Parts(NamedTuple):
    """What one process needs of the folder."""

    bundle: BundleInForce
    polls: PollLog
    lock: Optional[LeaderLock]


class Disk(Protocol):
    """Where the processes of one host meet."""

    reload_rate_seconds: float

    def open(self) -> Parts:
        """Return what a new process has of it."""

    def wipe(self) -> None:
        """Lose everything, as a container does that is replaced."""


class Remembered:
    """Record of polls and snapshot in memory, for a host of which only the leader runs.

    It looks at the folder when it is due, since nobody else writes there.

    Args:
        clock: The simulated clock.
    """

    reload_rate_seconds = _DAY_SECONDS

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.wipe()

    def open(self) -> Parts:
        """Return what a new leader has of it."""
        bundle = BundleInForce(
            None, self._keep, snapshot=self._snapshot, clock=self._clock
        )
        return Parts(bundle, self._polls, None)

    def wipe(self) -> None:
        """Lose the record and the snapshot."""
        self._snapshot: Optional[Snapshot] = None
        self._polls = PollLog(None, BOOT, clock=self._clock)

    def _keep(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot


class Real:
    """A folder on disk, with the lock, record and snapshot that the package makes.

    Args:
        path: An empty folder.
        clock: The simulated clock.
    """

    reload_rate_seconds = 1.0

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._wiped = 0
        self.wipe()

    def open(self) -> Parts:
        """Return what a new process has of it."""
        files = self._folder
        store = SnapshotStore(files.snapshot_path, TOKEN)
        return Parts(
            BundleInForce(store, lambda _: None, clock=self._clock),
            PollLog(files.polls_path, BOOT, clock=self._clock),
            LeaderLock(files.leader_lock_path, current_identity(), clock=self._clock),
        )

    def wipe(self) -> None:
        """Begin anew in another folder."""
        self._wiped += 1
        path = self._path / str(self._wiped)
        path.mkdir(mode=0o700)
        self._folder = StateFolder(path, os.geteuid())
