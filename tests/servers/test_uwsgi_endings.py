"""How uWSGI's workers end: stopped, replaced, recycled, or not needed at the moment."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from serving import Server, is_alive
from uwsgis import WORKERS, uwsgi
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

# Too seldom for a test: what is delivered was delivered at the end, or at the start.
SELDOM = {"LITEGUARD_FLUSH_RATE_SECONDS": "3"}
STOPS = {
    "TERM": (signal.SIGTERM, []),
    "INT": (signal.SIGINT, ["--lazy-apps"]),
    "no exit handlers": (signal.SIGTERM, ["--skip-atexit"]),
}


def wait_for_others(server: Server, before: set[int]) -> None:
    """Make checks until none of the workers of *before* is left."""

    def are_replaced() -> bool:
        server.sweep()
        return not any(is_alive(pid) for pid in before)

    until(are_replaced)


@pytest.mark.parametrize("stop", STOPS)
def test_what_an_end_leaves_the_next_start_delivers(
    stop: str, backend: Backend, tmp_path: Path
) -> None:
    """Checks that the workers could not send at their end arrive later, once."""
    number, arguments = STOPS[stop]
    server = uwsgi(backend, tmp_path, "--master", *arguments, **SELDOM)
    with server:
        server.workers(WORKERS)
        assert server.stop(number) == 0
    with server:
        server.check()
        server.assert_every_check_was_delivered()


def test_term_reloads_where_it_is_not_to_stop(backend: Backend, tmp_path: Path) -> None:
    """Without ``--die-on-term`` the workers are replaced by TERM, and QUIT stops."""
    with uwsgi(backend, tmp_path, "--master", term=()) as server:
        before = set(server.workers(WORKERS))
        server.send(signal.SIGTERM)
        wait_for_others(server, before)
        server.wait_for_change(WORKERS)
        server.assert_every_check_was_delivered()
        assert server.stop(signal.SIGQUIT) == 0


@pytest.mark.parametrize("way", ["HUP", "chain"])
def test_lazy_workers_are_reloaded(way: str, backend: Backend, tmp_path: Path) -> None:
    """Workers that import for themselves are replaced, all at once or one by one."""
    trigger = tmp_path / "reload"
    trigger.touch()
    arguments = ["--master", "--lazy-apps", "--touch-chain-reload", str(trigger)]
    # Two, because a chain takes two seconds for each.
    with uwsgi(backend, tmp_path, *arguments, "--processes", "2") as server:
        before = set(server.workers(2))
        if way == "HUP":
            server.send(signal.SIGHUP)
        else:
            # uWSGI looks at whole seconds, and this one may not be over.
            later = trigger.stat().st_mtime + 10.0
            os.utime(trigger, times=(later, later))
        wait_for_others(server, before)
        server.wait_for_change(2)
        server.assert_every_check_was_delivered()


def test_workers_that_are_not_needed_are_ended(
    backend: Backend, tmp_path: Path
) -> None:
    """With ``--cheaper`` workers end while there is little to do; nothing is lost."""
    arguments = ["--cheaper", "1", "--cheaper-initial", str(WORKERS)]
    with uwsgi(backend, tmp_path, "--master", *arguments) as server:
        before = set(server.workers(WORKERS))
        until(lambda: sum(map(is_alive, before)) < WORKERS)
        server.wait_for_change(1)
        server.assert_every_check_was_delivered()
