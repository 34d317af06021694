"""How gunicorn's workers end, and that no check is lost with them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from gunicorns import KINDS, SOON, WORKERS, gunicorn
from serving import is_alive
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

# Too seldom for a test: what is delivered was delivered at the end, or at the start.
SELDOM = {"LITEGUARD_FLUSH_RATE_SECONDS": "3"}
NEVER = {"LITEGUARD_FLUSH_RATE_SECONDS": "600"}


@pytest.mark.parametrize("kind", KINDS)
def test_recycled_workers_lose_nothing(
    kind: str, backend: Backend, tmp_path: Path
) -> None:
    """Workers that end after some requests are replaced, and one poller remains."""
    recycling = ["--preload", "--max-requests", "25", *SOON]
    with gunicorn(backend, tmp_path, *recycling, kind=kind) as server:
        before = set(server.workers(WORKERS))

        def are_replaced() -> bool:
            server.sweep()
            return not any(is_alive(pid) for pid in before)

        until(are_replaced)
        server.leader()
        server.assert_every_check_was_delivered()
        assert "Traceback" not in server.log()


def test_recycling_leaves_the_rhythm_of_polling_alone(
    backend: Backend, tmp_path: Path
) -> None:
    """However many leaders end, the backend is asked no more often than by one."""
    backend.set_refresh_rate(600.0)
    recycling = ["--preload", "--max-requests", "10", *SOON]
    with gunicorn(backend, tmp_path, *recycling) as server:
        met: set[int] = set()

        def are_many() -> bool:
            met.update(server.sweep())
            return len(met) >= 3 * WORKERS

        until(are_many)
        assert backend.poll_summary()["total"] == 1


def test_stuck_worker_is_aborted_and_loses_nothing(
    backend: Backend, tmp_path: Path
) -> None:
    """A check made before the request that never ends arrives all the same."""
    patience = ["--preload", "--timeout", "1"]
    with gunicorn(backend, tmp_path, *patience, **NEVER) as server:
        workers = server.workers(WORKERS)
        assert server.ask("/stuck") is None
        until(lambda: not all(is_alive(pid) for pid in workers))
        server.workers(WORKERS, lambda told: told["role"] in ("leader", "follower"))
        assert server.stop() == 0
        server.assert_every_check_was_delivered()
        assert "WORKER TIMEOUT" in server.log()


@pytest.mark.parametrize(
    ("kind", "number"), [("gthread", signal.SIGQUIT), ("uvicorn", signal.SIGINT)]
)
def test_what_a_quick_end_leaves_the_next_start_delivers(
    kind: str, number: signal.Signals, backend: Backend, tmp_path: Path
) -> None:
    """INT and QUIT, at which a uvicorn worker goes on until it is killed."""
    server = gunicorn(backend, tmp_path, "--preload", *SOON, kind=kind, **SELDOM)
    with server:
        server.workers(WORKERS)
        assert server.stop(number) == 0
    with server:
        server.check()
        server.assert_every_check_was_delivered()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGABRT])
def test_worker_that_runs_nothing_at_its_end_is_delivered_for(
    number: signal.Signals, backend: Backend, tmp_path: Path
) -> None:
    """Another worker sends what a uvicorn worker left that was ended by a signal."""
    with gunicorn(backend, tmp_path, "--preload", kind="uvicorn") as server:
        victim = next(iter(server.workers(WORKERS)))
        os.kill(victim, number)
        until(lambda: not is_alive(victim))
        server.workers(WORKERS)
        server.assert_every_check_was_delivered()
