"""Measures checks inside of one process, when the one that compares says so.

Imported by the programs, each of which runs in an environment of its own: needs nothing
but Python.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any, Callable

TURN_SECONDS = 0.03
"""Short, so that a machine that changes its speed changes it for all of them."""

THREADS = 8

PROCESSOR = ", processor time"
"""Added to a case's name where the processor time of the process is meant."""

Check = Callable[[], Any]


def nanoseconds(check: Check, calls: int) -> float:
    """Return what one of many calls in a row takes."""
    rounds = range(calls)
    begun = time.perf_counter_ns()
    for _ in rounds:
        check()
    return (time.perf_counter_ns() - begun) / calls


def nanoseconds_in_threads(check: Check, calls: int) -> float:
    """Return the time that passes for one of many calls, shared by threads."""
    ready = threading.Barrier(THREADS + 1)

    def work() -> None:
        ready.wait()
        nanoseconds(check, calls // THREADS)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.perf_counter_ns()
    for thread in threads:
        thread.join()
    return (time.perf_counter_ns() - begun) / (calls // THREADS * THREADS)


def serve(cases: dict[str, tuple[Check, Any]]) -> None:
    """Measure one case for each line of the input, and print what a call takes.

    That is the time that passes, and the processor time of the whole process, which
    a machine with other work to do changes less.

    Args:
        cases: By name what to call, and what it must return. A case whose name ends in
            " threads" runs in several of them.
    """
    calls = {name: _calls_in_a_turn(*case) for name, case in cases.items()}
    print(json.dumps(list(cases)), flush=True)
    for line in sys.stdin:
        name = line.strip()
        in_threads = name.endswith(" threads")
        measure = nanoseconds_in_threads if in_threads else nanoseconds
        begun = time.process_time_ns()
        passed = measure(cases[name][0], calls[name])
        processor = (time.process_time_ns() - begun) / calls[name]
        print(json.dumps({"": passed, PROCESSOR: processor}), flush=True)


def _calls_in_a_turn(check: Check, expected: Any) -> int:
    answer = check()
    if answer != expected:
        raise AssertionError(f"answered {answer!r} and not {expected!r}")
    if os.environ.get("STRESS_BRIEFLY"):
        return THREADS
    nanoseconds(check, 100)
    return max(THREADS, int(TURN_SECONDS * 1e9 / nanoseconds(check, 200)))
