"""What a program is told by whoever starts it, as one variable."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "STRESS"


@dataclass(frozen=True)
class Settings:
    """Settings of a program under stress; times in seconds.

    Args:
        package: "ours" or "published".
        address: The backend's.
        begun_at: When the backend's bundle was of generation 0 first, monotonic.
        change_seconds: How often the bundle changes.
        refresh_seconds: How often hosts refresh.
        state_dir: The state folder.
        tallies: Folder for what the processes tell of themselves.
        workers: How many there are at a time.
        pause_seconds: Between two looks of a worker.
        block: Checks that a worker makes in a row besides, at each look.
        lifetime_seconds: How long a worker lives; 0 if until it is told to end.
        checks_in_master: Whether the master has a thread that looks as well.
        stale_seconds: How long a leader may give no sign of life; 0 leaves the default.
        clock_path: File with the seconds by which the wall clock is wrong; "" if none.
    """

    package: str
    address: str
    begun_at: float
    change_seconds: float
    refresh_seconds: float
    state_dir: str
    tallies: str
    workers: int
    pause_seconds: float = 0.02
    block: int = 0
    lifetime_seconds: float = 0.0
    checks_in_master: bool = False
    stale_seconds: float = 0.0
    clock_path: str = ""

    @property
    def folder(self) -> Path:
        """The folder for tallies."""
        return Path(self.tallies)

    def variables(self) -> dict[str, str]:
        """Return the environment variable that tells them."""
        return {VARIABLE: json.dumps(asdict(self))}


def told() -> Settings:
    """Return the settings of this program."""
    return Settings(**json.loads(os.environ[VARIABLE]))
