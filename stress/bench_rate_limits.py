"""What a rate limit adds to a check, alone and with eight processes at one window.

Checks of guards with and without a limit are made in turn, so that a busy machine slows
them all: ``python stress/bench_rate_limits.py [checks]``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Callable

from liteguard import LiteguardClient
from liteguard.evaluation.table import CompiledGuard, GuardTable
from liteguard.host.rate_limits import RateLimits

BRIEFLY = bool(os.environ.get("STRESS_BRIEFLY"))
DEFAULT_CHECKS = 50 if BRIEFLY else 20_000
PROCESSES = (1, 2, 8)
SECONDS = 0.5 if BRIEFLY else 2.0
MOST = 2**40
LIMITS = {
    "no limit": {},
    "exact limit, used up": {"rateLimit": {"requestsPerMinute": 500}},
    "large limit": {"rateLimit": {"requestsPerMinute": MOST}},
    "limit per user, one user": {
        "rateLimit": {"requestsPerMinute": MOST, "partitionProperties": ["user"]}
    },
    "dry run beside a limit": {
        "rateLimit": {"requestsPerMinute": MOST},
        "dryRunRateLimit": {"requestsPerMinute": MOST, "dryRunId": "trial"},
    },
}


def guards() -> list[dict[str, object]]:
    """Return a guard for each case, open by default."""
    return [
        {"name": name, "adopted": True, "defaultValue": True, **limit}
        for name, limit in LIMITS.items()
    ]


def compiled(name: str) -> CompiledGuard:
    """Return one of them, ready for checks."""
    documents = {str(one["name"]): json.dumps(one).encode() for one in guards()}
    guard = GuardTable(documents).lookup(name)
    if guard is None:
        raise KeyError(name)
    return guard


def microseconds(action: Callable[[], object]) -> float:
    """Return how long *action* took."""
    begun = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - begun) / 1000


def measure_checks(checks: int, folder: Path) -> None:
    """Print what checks cost, and what they cost more than without a limit."""
    # Nothing is recorded, so that what is seen is the limit and not the journal.
    client = LiteguardClient("benchmark", bootstrap={"guards": guards()})
    client._lifecycle._limits.use(folder)  # noqa: SLF001  as a started client would
    taken: dict[str, list[float]] = {name: [] for name in LIMITS}
    actions = {
        name: partial(client.is_open, name, properties={"user": "one"})
        for name in LIMITS
    }
    for _ in range(checks):
        for name, action in actions.items():
            taken[name].append(microseconds(action))
    bare = median(taken["no limit"])
    print(f"{checks} checks each, us: median, 99th percentile, over no limit")
    for name, times in taken.items():
        slow = quantiles(times, n=100)[98]
        print(f"{name:28}{median(times):8.2f}{slow:8.2f}{median(times) - bare:+8.2f}")


def measure_contention(folder: Path) -> None:
    """Print what counting costs where several processes count in one window."""
    print("\nlarge limit, processes that do nothing else, us: median, 99th percentile,")
    print("and how many of all answers were closed because nothing could be counted")
    for number in PROCESSES:
        found = [json.loads(one) for one in in_processes(number, folder)]
        middle = median(one[0] for one in found)
        slow = median(one[1] for one in found)
        closed, asked = (sum(one[index] for one in found) for index in (2, 3))
        print(f"{number:2} processes{middle:24.2f}{slow:10.2f}{closed:6} of {asked}")


def in_processes(number: int, folder: Path) -> list[bytes]:
    """Run `hammer` in as many processes at once and return what they print."""
    pipes = []
    for _ in range(number):
        reading, writing = os.pipe()
        if not os.fork():
            os.write(writing, json.dumps(hammer(folder)).encode())
            os._exit(0)
        os.close(writing)
        pipes.append(reading)
    found = []
    for reading in pipes:
        with os.fdopen(reading, "rb") as pipe:
            found.append(pipe.read())
        os.wait()
    return found


def hammer(folder: Path) -> tuple[float, float, int, int]:
    """Count for some seconds; return times, and how many were closed of how many."""
    guard, limits = compiled("large limit"), RateLimits("benchmark")
    limits.use(folder)
    times, closed = [], 0
    ends_at = time.monotonic() + SECONDS
    while time.monotonic() < ends_at:
        begun = time.perf_counter_ns()
        answer = limits.admit(guard, {}, consumes=True, is_recorded=False)
        times.append((time.perf_counter_ns() - begun) / 1000)
        closed += not answer.is_open
    return median(times), quantiles(times, n=100)[98], closed, len(times)


def main(checks: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        measure_checks(checks, Path(name))
        measure_contention(Path(name))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_CHECKS)
