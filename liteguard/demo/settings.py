"""What both sides of the demo must agree on: the driver and its application."""

from __future__ import annotations

ENVIRONMENT = "demo"
GUARD = "demo.new-checkout"

REFRESH_SECONDS = 1.0
"""Shortest interval between two polls of the host."""

RELOAD_SECONDS = 0.2
"""Interval at which a follower looks at the snapshot."""

FLUSH_SECONDS = 0.5
"""Interval at which each process sends its signals."""

WORK_SECONDS = 0.05
"""How long the application is busy with a request, as if it asked a database."""
