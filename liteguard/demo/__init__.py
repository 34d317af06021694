"""``liteguard demo``: shows on this machine what the package promises.

It starts a local backend and a real gunicorn, sends requests, changes a guard, kills
the leader, and compares what was counted. `story` is the file to read first.
"""

from __future__ import annotations
