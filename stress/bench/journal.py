"""What it costs that a check is recorded so that it survives its process.

``python stress/bench/journal.py [turns]`` compares in turns: checks that are recorded,
the same checks with the same fields appended to a deque in memory, and those of the
published package 0.7. The flush thread is idle, or never without work.
"""

from __future__ import annotations

import sys
import tempfile
from typing import TYPE_CHECKING

from measuring import PROCESSOR
from results import keep
from sink import sink
from turns import take_turns

from environments import BRIEFLY, environment, own_environment

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHED = "liteguard==0.7.20260603"
DEFAULT_TURNS = 1 if BRIEFLY else 15
CASES = ("one scope", "new scope", "per call")
_LINE = "{:10} {:26} {:>10} {:>10} {:>12} {:>9} {:>12}"
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


def tell(taken: dict[str, dict[str, float]]) -> None:
    """Print a line for each case, in the time that passes and in processor time."""
    print(_LINE.format(*_HEAD, *_RATIOS))
    for kind in ("", PROCESSOR):
        for flush in ("idle", "saturated"):
            for case in (f"{case}{kind}" for case in CASES):
                journal = taken[f"journal {flush}"][case]
                deque = taken["deque idle"][case]
                published = taken[f"published {flush}"][case]
                times = [f"{time:,.0f}" for time in (journal, deque, published)]
                ratios = [f"{journal / deque:.2f}", f"{published / journal:.1f}"]
                print(_LINE.format(flush, case, *times, *ratios))


def main(turns: int) -> None:
    """Measure, print and keep what was measured."""
    taken = measured(turns)
    tell(taken)
    keep("journal", nanoseconds=taken)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TURNS)
