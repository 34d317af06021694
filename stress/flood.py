"""Checks as fast as they go, and what becomes of their signals, to the unit.

``python stress/flood.py [--seconds 10] [--json FILE]`` runs one process and then eight,
before a backend that is well, slow, and down for the whole run. When a run is over a
further process delivers what is left; then *checks made = signals delivered + signals
reported dropped* must hold, or the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from counting import GUARD, Counting, counting

from liteguard import LiteguardClient

DEFAULT_SECONDS = 0.1 if os.environ.get("STRESS_BRIEFLY") else 10.0
PROCESSES = (2,) if os.environ.get("STRESS_BRIEFLY") else (1, 8)
MODES = ("healthy", "slow", "down")
_BLOCK = 1000
_LINE = "{:>9} {:>8} {:>12} {:>10} {:>12} {:>6} {:>12} {:>9} {:>7} {:>8}"
_HEAD = (
    "processes",
    "backend",
    "made",
    "delivered",
    "dropped",
    "again",
    "unaccounted",
    "checks/s",
    "cpu",
    "rss MiB",
)


class Outcome(NamedTuple):
    """What one run came to.

    Args:
        processes: How many checked.
        backend: How the backend behaved.
        made: Checks that were made.
        delivered: Different signals that arrived.
        dropped: Signals that were reported as dropped.
        again: Signals that arrived more than once.
        checks_per_second: Of all processes together.
        cpu_share: Processor time per second of one process; 1.0 is a processor.
        rss_mib: Peak of the largest process.
    """

    processes: int
    backend: str
    made: int
    delivered: int
    dropped: int
    again: int
    checks_per_second: float
    cpu_share: float
    rss_mib: float

    @property
    def unaccounted(self) -> int:
        """How many checks are neither delivered nor reported dropped."""
        return self.made - self.delivered - self.dropped

    def line(self) -> str:
        """Return it as a line of the table."""
        return _LINE.format(
            self.processes,
            self.backend,
            f"{self.made:,}",
            f"{self.delivered:,}",
            f"{self.dropped:,}",
            self.again,
            self.unaccounted,
            f"{self.checks_per_second:,.0f}",
            f"{self.cpu_share:.2f}",
            f"{self.rss_mib:.1f}",
        )


def client_at(address: str, state_dir: str) -> LiteguardClient:
    """Return a client with the usual rates and bounds."""
    return LiteguardClient("load", backend_url=address, state_dir=state_dir)


def check_for(seconds: float, address: str, state_dir: str) -> None:
    """Be one process: check when told to, and print what that took."""
    client = client_at(address, state_dir)
    client.start(strict=True)
    scope = client.create_scope(plan="pro", user_id=42)
    print("ready", flush=True)
    sys.stdin.readline()
    made, begun, used = 0, time.monotonic(), time.process_time()
    while time.monotonic() - begun < seconds:
        for _ in range(_BLOCK):
            scope.is_open(GUARD)
        made += _BLOCK
    taken, used = time.monotonic() - begun, time.process_time() - used
    client.shutdown()
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"made": made, "taken": taken, "used": used, "rss_mib": rss_mib}
    print(json.dumps(figures), flush=True)
    os._exit(0)


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start this program in another part."""
    return subprocess.Popen(  # noqa: S603  this very program
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(processes: int, mode: str, seconds: float) -> Outcome:
    """Let so many processes check before such a backend."""
    with counting() as backend, tempfile.TemporaryDirectory() as state_dir:
        part = ("--check", str(seconds), backend.address, state_dir)
        workers = [started(*part) for _ in range(processes)]
        for worker in workers:
            cast("IO[str]", worker.stdout).readline()
        backend.behave(mode)
        for worker in workers:
            cast("IO[str]", worker.stdin).write("\n")
            cast("IO[str]", worker.stdin).flush()
        figures = [json.loads(worker.communicate()[0]) for worker in workers]
        backend.behave("healthy")
        deliver_the_rest(backend, state_dir)
        return outcome(processes, mode, figures, backend.account())


def deliver_the_rest(backend: Counting, state_dir: str) -> None:
    """Lead for long enough to send what others have left."""
    with client_at(backend.address, state_dir) as client:
        client.flush_signals(timeout=30)


def outcome(
    processes: int, mode: str, figures: list[dict[str, Any]], account: dict[str, int]
) -> Outcome:
    """Put together what the processes and the backend tell."""
    return Outcome(
        processes,
        mode,
        made=sum(one["made"] for one in figures),
        delivered=account["delivered"],
        dropped=account["dropped"],
        again=account["again"],
        checks_per_second=sum(one["made"] / one["taken"] for one in figures),
        cpu_share=sum(one["used"] / one["taken"] for one in figures) / processes,
        rss_mib=max(one["rss_mib"] for one in figures),
    )


def main(seconds: float, json_path: str | None) -> int:
    """Run all, print a table, and return the exit status."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, {platform.python_version()}")
    print(_LINE.format(*_HEAD), flush=True)
    outcomes = []
    for processes in PROCESSES:
        for mode in MODES:
            outcomes.append(run(processes, mode, seconds))
            print(outcomes[-1].line(), flush=True)
    if json_path:
        Path(json_path).write_text(
            json.dumps([one._asdict() for one in outcomes], indent=1)
        )
    return int(any(one.unaccounted for one in outcomes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS)
    parser.add_argument("--json")
    parser.add_argument("--check", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.check:
        check_for(float(given.check[0]), *given.check[1:])
    sys.exit(main(given.seconds, given.json))
