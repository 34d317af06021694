"""This tree's package with the big bundle, as leader or as follower.

Orders: ``start`` starts the client and answers with the private memory that this and
checking 100 guards added; ``gap`` answers with the longest time between two answers;
``fork`` with the private memory of a child that checks nothing; ``stop`` stops it.
"""

from __future__ import annotations

import json
import os
import sys
import time

from memory import longest_gap_milliseconds, private_megabytes

from liteguard import LiteguardClient

SECONDS = 2.5
"""Long enough for a change, which comes once a second."""

address, state_dir, environment = sys.argv[1:]
print("[]", flush=True)
client = LiteguardClient(
    "benchmark",
    environment=environment,
    backend_url=address,
    state_dir=state_dir,
    refresh_rate_seconds=1 if environment == "changing" else 60,
    start_timeout_seconds=30,
)


def start() -> dict[str, float]:
    """Return megabytes added, and milliseconds until the first answer."""
    before = private_megabytes()
    begun, worked = time.perf_counter(), time.process_time()
    client.start(strict=True)
    client.is_open("guard.0")
    taken, worked = time.perf_counter() - begun, time.process_time() - worked
    for number in range(100):
        client.is_open(f"guard.{number}", properties={"property-3": "value-0"})
    return {
        "megabytes": private_megabytes() - before,
        "milliseconds": taken * 1000,
        "processor": worked * 1000,
    }


def fork() -> float:
    """Return the private memory of a child after a second in which it did nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        time.sleep(1)
        os.write(writing, str(private_megabytes()).encode())
        os._exit(0)
    told = float(os.read(reading, 100))
    os.waitpid(pid, 0)
    return told


def gap() -> float:
    """Return the longest gap in milliseconds."""
    return longest_gap_milliseconds(lambda: client.is_open("guard.7"), SECONDS)


ORDERS = {"start": start, "gap": gap, "fork": fork}
for line in sys.stdin:
    print(json.dumps(ORDERS[line.strip()]()), flush=True)
client.shutdown()
