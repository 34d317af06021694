"""What happened, kept until it is delivered."""

from __future__ import annotations
