"""The clock that all processes of a host share.

A container may have a time namespace of its own, in which the monotonic clock is off by
a constant that the kernel tells. It cannot change for a process that runs.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path

_OFFSETS = Path("/proc/self/timens_offsets")


def host_ns() -> int:
    """Return the host's monotonic clock in nanoseconds; it stands during a suspend."""
    return time.monotonic_ns() - _offset_ns(os.getpid())


def host_seconds() -> float:
    """Return the same in seconds."""
    return time.monotonic() - _offset_ns(os.getpid()) / 1e9


@lru_cache(maxsize=1)
def _offset_ns(pid: int) -> int:
    """Return by how much this process's clock is off; 0 where nobody can tell."""
    del pid  # a child may be in another namespace
    try:
        text = _OFFSETS.read_text("ascii")
    except (OSError, ValueError):
        return 0
    return offset_of("monotonic", text)


def offset_of(clock: str, text: str) -> int:
    """Return the nanoseconds that *text*, of time_namespaces(7), tells of *clock*."""
    for line in text.splitlines():
        name, *numbers = line.split()
        if name == clock and len(numbers) == len(("seconds", "nanoseconds")):
            return int(numbers[0]) * 1_000_000_000 + int(numbers[1])
    return 0
