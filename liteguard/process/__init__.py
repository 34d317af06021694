"""What a process is made of: fork hooks, worker threads, the logger."""

from __future__ import annotations
