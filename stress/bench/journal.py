"""What it costs that a check is recorded so that it survives its process.

``python stress/bench/journal.py [--turns 15]`` compares in turns: checks that are
journalled, the same checks with the same fields appended to a deque in memory, and
those of the published package 0.7. The flush thread is idle, or never without work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from sink import sink
from turns import take_turns

from environments import environment, own_environment

PUBLISHED = "liteguard==0.7.20260603"
CASES = ("one scope", "new scope", "per call")
_LINE = "{:10} {:12} {:>10} {:>10} {:>12} {:>10} {:>12}"
_HEAD = ("flush", "scope", "journal ns", "deque ns", "published ns")
_RATIOS = ("to deque", "published to")


def measured(turns: int) -> dict[str, dict[str, float]]:
    """Run all programs in turns; return medians in nanoseconds."""
    own, published = own_environment(), environment(PUBLISHED)
    with sink() as address, tempfile.TemporaryDirectory() as folder:
        programs: dict[str, tuple[Path, str, tuple[str, ...]]] = {
            "deque idle": (own, "recorded", (address, folder, "deque", "idle"))
        }
        for flush in ("idle", "saturated"):
            arguments = (address, folder, "journal", flush)
            programs[f"journal {flush}"] = (own, "recorded", arguments)
            other = (published, "published_recorded", (address, flush))
            programs[f"published {flush}"] = other
        return take_turns(programs, turns)


def rows(taken: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Return a row for each case, with its ratios."""
    found = []
    for flush in ("idle", "saturated"):
        for case in CASES:
            journal = taken[f"journal {flush}"][case]
            deque = taken["deque idle"][case]
            published = taken[f"published {flush}"][case]
            found.append(
                {
                    "flush": flush,
                    "scope": case,
                    "journal": journal,
                    "deque": deque,
                    "published": published,
                    "ratio to deque": journal / deque,
                    "published by journal": published / journal,
                }
            )
    return found


def main(turns: int, json_path: str | None) -> None:
    """Measure, and print a line for each case."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, {platform.python_version()}")
    found = rows(measured(turns))
    print(_LINE.format(*_HEAD, *_RATIOS))
    for flush, scope, *times, to_deque, from_published in (r.values() for r in found):
        told = [f"{time:,.0f}" for time in times]
        print(
            _LINE.format(
                flush, scope, *told, f"{to_deque:.2f}", f"{from_published:.1f}"
            )
        )
    if json_path:
        Path(json_path).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json")
    given = parser.parse_args()
    main(given.turns, given.json)
