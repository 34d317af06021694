"""A process that imports the same and has no client; answers orders like `big_ours`."""

from __future__ import annotations

import json
import os
import sys
import time

from memory import longest_gap_milliseconds, private_megabytes

import liteguard.client
import liteguard.runtime

SECONDS = 2.5

print("[]", flush=True)


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
    """Return the longest gap in milliseconds, which is the machine's."""
    return longest_gap_milliseconds(lambda: liteguard.client, SECONDS)


ORDERS = {"start": dict, "gap": gap, "fork": fork}
for line in sys.stdin:
    print(json.dumps(ORDERS[line.strip()]()), flush=True)
