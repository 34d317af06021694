"""What the client adds to a fork: in the parent, and until the child's first answer.

Each case is a process of its own that forks when it is told to, and they are told in
turn, so that a busy machine slows them all: ``python stress/bench_fork.py [forks]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from statistics import median, quantiles
from typing import IO, Any, cast

from backends import backend, bundle
from liteguard import LiteguardClient

DEFAULT_FORKS = 2 if os.environ.get("STRESS_BRIEFLY") else 100
GUARD = "guard.0"
SETTLE_SECONDS = 0.03
BARE = "no client"
CASES: dict[str, tuple[int, str]] = {
    BARE: (0, ""),
    "no client, 13 MB held": (10_000, ""),
    "client, 0 guards": (0, "0"),
    "client, 1 guard": (0, "1"),
    "client, 10,000 guards": (0, "10000"),
    "client, 10,000 guards, changing": (0, "10000-changing"),
}
"""By name: how many guards' JSON to hold unused, and the client's environment."""


def serve(name: str, address: str, state_dir: str) -> None:
    """Be one case: fork once for each line of the input, and print what it took."""
    guards_held, environment = CASES[name]
    held = bundle(guards_held, 0)
    client = started(environment, address, state_dir) if environment else None
    for _ in sys.stdin:
        print(json.dumps(seconds_of_a_fork(client)), flush=True)
        if client is not None:
            client.is_open(GUARD)  # the parent runs again from here on
    del held


def started(environment: str, address: str, state_dir: str) -> LiteguardClient:
    """Return a client that has its bundle."""
    rate = 0.2 if "changing" in environment else 60
    client = LiteguardClient(
        "benchmark",
        environment=environment,
        backend_url=address,
        state_dir=state_dir,
        refresh_rate_seconds=rate,
        start_timeout_seconds=30,
    )
    client.start(strict=True)
    return client


def seconds_of_a_fork(client: LiteguardClient | None) -> tuple[float, float]:
    """Fork, and return when the parent went on and when the child had an answer."""
    reading, writing = os.pipe()
    begun = time.perf_counter()
    pid = os.fork()
    if not pid:
        if client is not None:
            client.is_open(GUARD)
        os.write(writing, str(time.perf_counter() - begun).encode())
        os._exit(0)
    in_parent = time.perf_counter() - begun
    in_child = float(os.read(reading, 100))
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)
    return in_parent, in_child


class Case:
    """The process of one case, and what it has measured, in milliseconds."""

    def __init__(self, name: str, address: str, state_dir: str) -> None:
        command = [sys.executable, __file__, "--serve", name, address, state_dir]
        self._process = subprocess.Popen(  # noqa: S603  this very program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._orders = cast("IO[str]", self._process.stdin)
        self._results = cast("IO[str]", self._process.stdout)
        self.parent: list[float] = []
        self.child: list[float] = []

    def __enter__(self) -> Case:
        """Have it started when the block begins."""
        self.fork()
        self.parent.clear()
        self.child.clear()
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whose input ends."""
        self._process.communicate()

    def fork(self) -> None:
        """Let the process fork once."""
        self._orders.write("\n")
        self._orders.flush()
        in_parent, in_child = json.loads(self._results.readline())
        self.parent.append(in_parent * 1000)
        self.child.append(in_child * 1000)


def main(forks: int) -> None:
    """Measure, and print a line for each case."""
    cases: dict[str, Case] = {}
    with ExitStack() as stack:
        address = stack.enter_context(backend())
        state_dir = stack.enter_context(tempfile.TemporaryDirectory())
        for name in CASES:
            cases[name] = stack.enter_context(Case(name, address, state_dir))
        for _ in range(forks):
            for case in cases.values():
                case.fork()
            time.sleep(SETTLE_SECONDS)  # let the clients' threads come to rest
    print(f"{forks} forks each, ms: median, 99th percentile, longest")
    print(f"{'':34}{'until fork() returns':^28}{'until the first answer':^28}")
    for name, case in cases.items():
        print(f"{name:34}{_row(case.parent):^28}{_row(case.child):^28}")
    bare = cases[BARE]
    for name, case in cases.items():
        in_parent = median(case.parent) - median(bare.parent)
        in_child = median(case.child) - median(bare.child)
        print(f"{name:34}{f'{in_parent:+.2f}':^28}{f'{in_child:+.2f}':^28}")


def _row(values: list[float]) -> str:
    slow = quantiles(values, n=100)[98]
    return f"{median(values):6.2f} {slow:6.2f} {max(values):6.2f}"


if __name__ == "__main__":
    arguments: list[Any] = sys.argv[1:]
    if arguments[:1] == ["--serve"]:
        serve(*arguments[1:])
    else:
        main(int(arguments[0]) if arguments else DEFAULT_FORKS)
