"""The published package 0.7 with the big bundle; the same orders as `big_ours`."""

from __future__ import annotations

import json
import sys
import time

from memory import longest_gap_milliseconds, private_megabytes

from liteguard import ClientOptions, LiteguardClient, Options

SECONDS = 2.5

address, _, environment = sys.argv[1:]
print("[]", flush=True)
client = LiteguardClient(
    "benchmark",
    ClientOptions(environment=environment, backend_url=address, refresh_rate_seconds=1),
)
OPTIONS = Options(properties={"property-3": "value-0"})


def start() -> dict[str, float]:
    """Return megabytes added, and milliseconds until the first answer."""
    before = private_megabytes()
    begun, worked = time.perf_counter(), time.process_time()
    client.start()
    client.is_open("guard.0")
    taken, worked = time.perf_counter() - begun, time.process_time() - worked
    for number in range(100):
        client.is_open(f"guard.{number}", OPTIONS)
    return {
        "megabytes": private_megabytes() - before,
        "milliseconds": taken * 1000,
        "processor": worked * 1000,
    }


def gap() -> float:
    """Return the longest gap in milliseconds."""
    return longest_gap_milliseconds(lambda: client.is_open("guard.7"), SECONDS)


ORDERS = {"start": start, "gap": gap}
for line in sys.stdin:
    print(json.dumps(ORDERS[line.strip()]()), flush=True)
client.shutdown()
