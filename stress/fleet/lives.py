"""What is taken for granted of how processes live."""

from __future__ import annotations

from typing import Callable

RATE_SECONDS = 60.0
"""Between two polls, and between two flushes: the default of both packages."""
START_SECONDS = 3.0
"""From the end of the old processes of a host to the start of the new ones."""
STAGGER_SECONDS = 1.0
"""Within which the processes of a host start."""
SHORTEST_PAUSE_SECONDS = 0.001
"""What a thread needs that is to run again at once."""

Draw = Callable[[float, float], float]
"""Draws between two numbers, as `random.uniform` does."""
