"""Readings of this process: memory, processor time, collections."""

from __future__ import annotations

import gc
import os
import time

import orjson

READINGS_SECONDS = 0.1
"""How long readings will do."""


class ProcessReadings:
    """The latest readings as JSON, taken anew at most every 100 ms.

    Belongs to one process. Never blocks: its one read is of the kernel's own memory.
    """

    def __init__(self) -> None:
        self._taken_at = 0.0
        self._latest = b""

    def sample(self, now: float) -> bytes:
        """Return readings not older than 100 ms.

        Args:
            now: Wall-clock seconds; the caller has them anyway.
        """
        if not 0.0 <= now - self._taken_at < READINGS_SECONDS:
            # In this order: no other thread must find a time without readings.
            self._latest = orjson.dumps(_readings())
            self._taken_at = now
        return self._latest


def _readings() -> dict[str, int]:
    readings = {
        "cpuTimeNs": time.process_time_ns(),
        "gcCount": sum(generation["collections"] for generation in gc.get_stats()),
    }
    rss = _resident_bytes()
    if rss:
        readings["rssBytes"] = rss
    return readings


def _resident_bytes() -> int:
    """Return the current resident set; getrusage knows only the peak."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123  unbuffered
            return int(statm.read(200).split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
