"""A rate limit is one limit for all workers of a server, whichever way they came."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Callable

import pytest

from gunicorns import gunicorn
from serving import AT_ONCE, GUARD, Server, is_alive
from uwsgis import uwsgi
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

LIMIT = 60
Start = Callable[["Backend", "Path"], Server]
SERVERS: dict[str, Start] = {
    "gunicorn --preload": lambda *where: gunicorn(*where, "--preload"),
    "gunicorn gevent": lambda *where: gunicorn(*where, kind="gevent"),
    "uwsgi, whose forks run no hooks": uwsgi,
    "uwsgi --master": lambda *where: uwsgi(*where, "--master"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_workers_share_a_limit(name: str, backend: Backend, tmp_path: Path) -> None:
    """However requests fall on them, and though one is killed, it is used up once."""
    opened = 0

    def is_reached(number: int) -> bool:
        nonlocal opened
        opened += opened_of(server, AT_ONCE)
        return opened >= number

    with SERVERS[name](backend, tmp_path) as server:
        workers = server.workers(2)
        # Closed so far: the first bundle that opens the guard limits it as well.
        backend.update_guard(
            GUARD, defaultValue=True, rateLimit={"requestsPerMinute": LIMIT}
        )
        until(lambda: is_reached(LIMIT // 2))
        victim = next(pid for pid in workers if pid != server.pid)
        os.kill(victim, signal.SIGKILL)
        until(lambda: not is_alive(victim))
        until(lambda: is_reached(LIMIT))
        for _ in range(5):
            assert not is_reached(LIMIT + 1)
    assert opened == LIMIT


def opened_of(server: Server, tries: int) -> int:
    """Return how many of so many checks are open."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _: server.check(), range(tries)))
    return sum(bool(told and told["open"]) for told in answers)
