"""The tests' application, which sends what it recorded before its import is over."""

from __future__ import annotations

from application import app, client

__all__ = ["app"]

client.flush_signals()
