"""How processes with the published package 0.7.20260603 ask: its rule, not its code.

Its `LiteguardClient.start` fetches once and starts a thread. That thread, in
`_refresh_loop`, waits `_current_refresh_rate_seconds` and fetches, again and again,
and `_fetch_guards_for_bundle` returns the same whether the backend has answered,
refused or not answered. So each process asks when it starts and once in each interval
from then on: no jitter, no backoff, nothing that processes or restarts share.
Kind to it: a thread that was lost in a fork, as under ``--preload``, asks as well.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Optional

from stress.fleet.host import RATE_SECONDS
from stress.fleet.scenarios import BEGIN_SECONDS, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

# Processes know nothing of each other, so some can stand for all.
_MOST_PROCESSES = 100_000
_START_SECONDS = 3.0
_STAGGER_SECONDS = 1.0


def requests(scenario: Scenario, hosts: int, workers: int) -> list[float]:
    """Return the requests for guards in each second, of all processes.

    Args:
        scenario: What the fleet goes through.
        hosts: How many hosts it has. No more than stand for 100,000 processes are
            simulated, and counted as often as is right.
        workers: Processes of each host.
    """
    chance = random.Random(f"{scenario.name} {hosts} {workers}")  # noqa: S311
    simulated = min(hosts, _MOST_PROCESSES // workers)
    weight = hosts / simulated
    counts = [0] * scenario.seconds
    for _ in range(simulated):
        started = chance.uniform(0.0, RATE_SECONDS)
        restarted = _restarted_at(scenario, chance)
        for _ in range(workers):
            stagger = chance.uniform(0.0, _STAGGER_SECONDS)
            until = scenario.seconds if restarted is None else restarted
            for moment in _asks(started + stagger, until):
                counts[int(moment)] += 1
            if restarted is not None:
                again = restarted + _START_SECONDS + stagger
                for moment in _asks(again, scenario.seconds):
                    counts[int(moment)] += 1
    return [count * weight for count in counts]


def _restarted_at(scenario: Scenario, chance: random.Random) -> Optional[float]:
    if scenario.restart is None:
        return None
    first = BEGIN_SECONDS + scenario.restart.after_seconds
    return first + chance.uniform(0.0, scenario.restart.within_seconds)


def _asks(first: float, until: float) -> Iterator[float]:
    moment = first
    while moment < until:
        yield moment
        moment += RATE_SECONDS
