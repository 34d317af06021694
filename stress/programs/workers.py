"""A master that forks workers, as a preloading server does, and replaces the dead.

Ends on SIGTERM, and then prints how its workers ended, as JSON.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter

from looker import Looker
from settings import told

SETTINGS = told()
ENDINGS = ("exit", "_exit", "kill")


class Master:
    """Keeps as many workers as there are to be."""

    def __init__(self) -> None:
        self._workers: set[int] = set()
        self._is_ending = False
        self._numbers = itertools.count()
        self._endings: Counter[int] = Counter()
        self._looker = Looker(SETTINGS)

    def run(self) -> None:
        """Fork and replace until told to end, and tell how they ended."""
        signal.signal(signal.SIGTERM, self._end)
        if SETTINGS.checks_in_master:
            looker = Looker(SETTINGS, self._looker.subject)
            looker.look()  # so that nothing is imported for the first time in a thread
            threading.Thread(target=self._look_on, args=(looker,), daemon=True).start()
        while self._workers or not self._is_ending:
            while len(self._workers) < SETTINGS.workers and not self._is_ending:
                self._fork()
            self._wait()
        self._looker.subject.shutdown()
        print(json.dumps({"endings": self._endings}), flush=True)

    def _fork(self) -> None:
        number = next(self._numbers)
        pid = os.fork()
        if not pid:
            work(self._looker, ENDINGS[number % len(ENDINGS)])
        self._workers.add(pid)
        if self._is_ending:  # told so while it forked
            os.kill(pid, signal.SIGTERM)

    def _wait(self) -> None:
        pid, status = os.wait()
        self._workers.discard(pid)
        self._endings[os.waitstatus_to_exitcode(status)] += 1

    def _end(self, *_: object) -> None:
        self._is_ending = True
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):  # ended at this moment
                os.kill(pid, signal.SIGTERM)

    def _look_on(self, looker: Looker) -> None:
        while not self._is_ending:
            looker.look()
            time.sleep(SETTINGS.pause_seconds)


def work(looker: Looker, ending: str) -> None:
    """Be a worker: look until told to end, or until this one's time is over."""
    told_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    lifetime = SETTINGS.lifetime_seconds or float("inf")
    end = time.monotonic() + lifetime
    while not told_to_end.is_set() and time.monotonic() < end:
        looker.look()
        if SETTINGS.block:
            looker.hurry(SETTINGS.block)
        else:
            time.sleep(SETTINGS.pause_seconds)
    if told_to_end.is_set() or ending == "exit":
        sys.exit()
    if ending == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    # The thread of a master that looks is the point of a scenario.
    warnings.simplefilter("ignore", DeprecationWarning)
    Master().run()
