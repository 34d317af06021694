"""The clock that all processes of a host share.

A container may have a time namespace of its own, in which the monotonic clocks are off
by constants that the kernel tells. They cannot change for a process that runs.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path

_OFFSETS = Path("/proc/self/timens_offsets")
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def host_ns() -> int:
    """Return the host's monotonic clock in nanoseconds; it stands during a suspend."""
    return time.monotonic_ns() - _offset_ns("monotonic", os.getpid())


def host_seconds() -> float:
    """Return the same in seconds."""
    return time.monotonic() - _offset_ns("monotonic", os.getpid()) / 1e9


def host_boot_ns() -> int:
    """Return the host's monotonic clock that goes on during a suspend, if it has one.

    Elsewhere, as on macOS and Windows, it is the one of `host_ns`.
    """
    if _BOOT_CLOCK is None:
        return host_ns()
    return time.clock_gettime_ns(_BOOT_CLOCK) - _offset_ns("boottime", os.getpid())


@lru_cache(maxsize=2)
def _offset_ns(clock: str, pid: int) -> int:
    """Return by how much this process's clock is off; 0 where nobody can tell."""
    del pid  # a child may be in another namespace
    try:
        text = _OFFSETS.read_text("ascii")
    except (OSError, ValueError):
        return 0
    return offset_of(clock, text)


def are_offsets_told() -> bool:
    """Whether the kernel tells by how much this process's clocks are off."""
    return _OFFSETS.exists()


def offset_of(clock: str, text: str) -> int:
    """Return the nanoseconds that *text*, of time_namespaces(7), tells of *clock*."""
    for line in text.splitlines():
        name, *numbers = line.split()
        if name == clock and len(numbers) == len(("seconds", "nanoseconds")):
            return int(numbers[0]) * 1_000_000_000 + int(numbers[1])
    return 0
