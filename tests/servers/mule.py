"""The script that a mule runs."""

from __future__ import annotations

from offstage import run_mule

run_mule()
