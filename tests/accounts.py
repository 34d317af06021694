"""Checks that a test makes, and the signals of them that arrive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from waiting import until

if TYPE_CHECKING:
    from backends import Backend
    from liteguard import LiteguardClient


def checks(client: LiteguardClient, count: int) -> int:
    """Make checks that must be open and return this process's pid."""
    assert all(client.is_open("open.guard", fallback=False) for _ in range(count))
    return os.getpid()


def arrived(backend: Backend, count: int) -> bool:
    """Whether *count* signals have arrived, none of them twice."""
    summary = backend.signal_summary()
    assert summary["total"] == summary["distinct"] <= count
    assert summary["droppedSignals"] == 0
    return summary["distinct"] == count


def deliver_all(client: LiteguardClient, backend: Backend, count: int) -> None:
    """Flush until *count* signals have arrived, none of them twice.

    For clients that flush only when told to: a child that ends abruptly in the middle
    of a request leaves its batch to be repeated.
    """
    until(lambda: client.flush_signals() and arrived(backend, count))
