"""What a client says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Optional


class Role(str, Enum):
    """What a process does for its host.

    A ``str``, so that it prints and encodes as its value.
    """

    LEADER = "leader"
    """Asks the backend and writes the snapshot."""
    FOLLOWER = "follower"
    """Reads the snapshot that the leader writes."""
    STANDALONE = "standalone"
    """Asks the backend for itself: no state folder can be shared."""
    PARKED = "parked"
    """Has forked and done nothing since; the next check revives it."""
    STOPPED = "stopped"
    """Not started yet, or shut down."""

    def __str__(self) -> str:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class ClientStatus:
    """A client's view of itself at one moment; see ``LiteguardClient.status``.

    Args:
        role: What this process does for its host.
        pid: This process.
        ready: Whether a bundle is there, so that checks do not answer the fallback.
        generation: Number of the bundle in force, growing with each; 0 if none.
        etag: The backend's tag of that bundle; "" if none.
        guards: How many guards it holds.
        bundle_age_seconds: Since the backend last confirmed it; ``None`` if never.
        last_error: The last failure to refresh or to flush; ``None`` once mended.
        state_dir: The folder shared by this host's processes; ``None`` if standalone.
        checks: Checks recorded by this process.
        buffered: Signals of this process not yet delivered.
        sent: Signals this process delivered, adopted ones included.
        dropped: Signals of which this process reported that they were dropped.
        refreshes: How often this process asked the backend for guards.
    """

    role: Role
    pid: int
    ready: bool = False
    generation: int = 0
    etag: str = ""
    guards: int = 0
    bundle_age_seconds: Optional[float] = None
    last_error: Optional[str] = None
    state_dir: Optional[str] = None
    checks: int = 0
    buffered: int = 0
    sent: int = 0
    dropped: int = 0
    refreshes: int = 0
