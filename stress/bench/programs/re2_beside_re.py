"""RE2 beside Python's own engine: what a search takes, and what a fork does to it."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import threading
import time
from statistics import median

import re2
from measuring import nanoseconds

PATTERN, TEXT = r"^[a-z]+@example\.com$", "jane@example.com"
CALLS, TURNS = 20_000, 1 if os.environ.get("STRESS_BRIEFLY") else 15
LONGEST_SECONDS = 1.0
THREADS = 3

ours, theirs = re.compile(PATTERN), re2.compile(PATTERN)
costly = re2.compile(r"(?:[ab]*a[ab]{14}c)*!")


def text_of(length: int) -> str:
    """Return some text that makes the engine think."""
    return "".join(random.choices("ab", k=length))  # noqa: S311  nothing secret


def hangs() -> bool:
    """Fork, and return whether the child could not search within a second."""
    pid = os.fork()
    if not pid:
        for _ in range(20):
            costly.search(text_of(200))
        os._exit(0)
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def search_for_ever() -> None:
    """Keep the engine busy."""
    while True:
        costly.search(text_of(3_000))


taken: dict[str, list[float]] = {"re": [], "re2": []}
for _ in range(TURNS):
    taken["re"].append(nanoseconds(lambda: ours.search(TEXT), CALLS))
    taken["re2"].append(nanoseconds(lambda: theirs.search(TEXT), CALLS))
for _ in range(THREADS):
    threading.Thread(target=search_for_ever, daemon=True).start()
told = {
    "re, one search, ns": median(taken["re"]),
    "re2, one search, ns": median(taken["re2"]),
    "re2, children that hang": sum(hangs() for _ in range(int(sys.argv[1]))),
}
print(json.dumps(told), flush=True)
os._exit(0)
