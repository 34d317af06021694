"""What a bundle of 10,000 guards with ten rules each costs.

Measured beside the published package, and in turns.

Prints, and writes to `results/bundle.json`: from bytes on disk to an answer; private
memory added by a follower that checks 100 guards, and by a forked child that checks
none; for how long other threads keep one from answering while the bundle changes once a
second, in the leader and in a follower; and what ``start()`` takes where a snapshot is
there: ``python stress/bench/bundle.py [turns]``.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

from peers import OURS, PEERS, PUBLISHED
from results import keep
from sink import sink
from turns import Program, take_turns

from environments import BRIEFLY, environment, own_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT_TURNS = 1 if BRIEFLY else 10
FOLLOWER = "liteguard, follower"
LEADER = "liteguard, leader"
NOTHING = "no client"
SMALL = "liteguard, two guards"


def main(turns: int) -> None:
    """Measure, print and keep."""
    own, published = own_environment(), environment(PEERS[PUBLISHED][0])
    with tempfile.TemporaryDirectory() as folder:
        programs = {
            OURS: (own, "parse_ours", (folder,)),
            PUBLISHED: (published, "parse_published", (folder,)),
        }
        parsed = {n: c["parse"] for n, c in take_turns(programs, turns).items()}
    told = {
        "from disk to an answer, ms": parsed,
        **_of_a_steady_bundle(own, published, turns),
        "longest stall while it changes, ms": _gaps(own, published, turns),
    }
    for name, values in told.items():
        print(name)
        for case, value in values.items():
            print(f"    {case:24}{value:10.2f}")
    keep("bundle", turns=turns, unit="medians; gaps also as the worst", measured=told)


def _of_a_steady_bundle(own: Path, published: Path, turns: int) -> dict[str, Any]:
    """Return memory added, and what a start takes, where the bundle stays the same."""
    added: dict[str, list[float]] = {FOLLOWER: [], PUBLISHED: []}
    starts: dict[str, list[float]] = {FOLLOWER: [], PUBLISHED: []}
    worked: dict[str, list[float]] = {FOLLOWER: [], PUBLISHED: []}
    forked: dict[str, list[float]] = {NOTHING: [], SMALL: [], FOLLOWER: []}
    with sink() as address, tempfile.TemporaryDirectory() as folder:
        cases = {
            FOLLOWER: (own, "big_ours", address, folder, "big"),
            PUBLISHED: (published, "big_published", address, folder, "big"),
            SMALL: (own, "big_ours", address, folder, "small"),
            NOTHING: (own, "big_nothing"),
        }
        with _answering(*cases[FOLLOWER]) as leader:
            leader.ask("start")
            for name, case in list(cases.items()) * turns:
                with _answering(*case) as program:
                    started = program.ask("start")
                    if name in added:
                        added[name].append(started["megabytes"])
                        starts[name].append(started["milliseconds"])
                        worked[name].append(started["processor"])
                    if name in forked:
                        forked[name].append(program.ask("fork"))
    return {
        "private memory added, 100 guards checked, MB": _medians(added),
        "private memory of a forked child that checks nothing, MB": _medians(forked),
        "start() until the first answer, ms": _medians(starts),
        "start() until the first answer, ms of processor time": _medians(worked),
    }


@contextmanager
def _answering(*program: Any) -> Iterator[Program]:
    """Run a program that is ready for orders."""
    with Program(*program) as running:
        running.answer()
        yield running


def _gaps(own: Path, published: Path, turns: int) -> dict[str, float]:
    """Return the longest stalls while every guard changes once a second."""
    gaps: dict[str, list[float]] = {}
    with ExitStack() as stack:
        address = stack.enter_context(sink())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        cases = {
            NOTHING: (own, "big_nothing"),
            LEADER: (own, "big_ours", address, folder, "changing"),
            FOLLOWER: (own, "big_ours", address, folder, "changing"),
            PUBLISHED: (published, "big_published", address, folder, "changing"),
        }
        programs = {}
        for name, case in cases.items():
            programs[name] = stack.enter_context(_answering(*case))
            programs[name].ask("start")
        for _ in range(turns):
            for name, program in programs.items():
                gaps.setdefault(name, []).append(program.ask("gap"))
    worst = {f"{name}, worst": max(values) for name, values in gaps.items()}
    return {**_medians(gaps), **worst}


def _medians(values: dict[str, list[float]]) -> dict[str, float]:
    return {name: median(each) for name, each in values.items()}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TURNS)
