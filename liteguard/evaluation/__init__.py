"""Name and properties in, decision out: no clock, thread, file or network."""

from __future__ import annotations
