"""What memory a process has for itself, and what longest time nobody could answer."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable

BRIEFLY = bool(os.environ.get("STRESS_BRIEFLY"))
BRIEF_SECONDS = 0.1


def private_megabytes() -> float:
    """Return the memory that this process shares with no other, on Linux."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    sizes = [line.split()[1] for line in lines if line.startswith("Private_")]
    return sum(map(int, sizes)) / 1024


def longest_gap_milliseconds(check: Callable[[], Any], seconds: float) -> float:
    """Return for how long other threads of this process kept a thread from answering.

    Asks all the while. Counts the processor time that the others took between two
    answers: that leaves out what the machine gave to other processes meanwhile.
    """
    end = time.perf_counter() + (BRIEF_SECONDS if BRIEFLY else seconds)
    longest = 0.0
    others = time.process_time() - time.thread_time()
    while time.perf_counter() < end:
        check()
        now = time.process_time() - time.thread_time()
        longest, others = max(longest, now - others), now
    return longest * 1000
