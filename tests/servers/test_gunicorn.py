"""gunicorn with its workers, through everything that happens to them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from gunicorns import WORKERS, gunicorn
from serving import Server, is_alive
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend

CHECKS_AT_IMPORT = 25
# Too seldom for a test: what is delivered was delivered at the end, or at the start.
SELDOM = {"LITEGUARD_FLUSH_RATE_SECONDS": "3"}


@pytest.fixture(params=["preload", "no preload"])
def loading(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return the arguments for importing in the master, or in each worker."""
    return ("--preload",) if request.param == "preload" else ()


def test_killed_leader_is_replaced(
    loading: tuple[str, ...], backend: Backend, tmp_path: Path
) -> None:
    """A worker takes over from a killed leader, and nothing it recorded is lost."""
    with gunicorn(backend, tmp_path, *loading) as server:
        server.workers(WORKERS)
        first = server.leader()
        os.kill(first, signal.SIGKILL)
        until(lambda: not is_alive(first))
        assert server.leader() != first
        server.workers(WORKERS)
        assert server.stop() == 0
        server.assert_every_check_was_delivered()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["sync", "uvicorn"])
def test_what_an_exit_leaves_the_next_start_delivers(
    kind: str, number: signal.Signals, backend: Backend, tmp_path: Path
) -> None:
    """Checks of workers that ran no exit hook arrive when the server runs again."""
    server = gunicorn(backend, tmp_path, "--preload", kind=kind, **SELDOM)
    with server:
        workers = server.workers(WORKERS)
        for pid in (server.pid, *workers) if number == signal.SIGKILL else ():
            os.kill(pid, signal.SIGKILL)
        server.stop(number)
    with server:
        server.check()
        server.assert_every_check_was_delivered()


@pytest.fixture
def preloaded(backend: Backend, tmp_path: Path) -> Iterator[Server]:
    """Run gunicorn with ``--preload`` until its workers answer."""
    made = {"CHECKS_AT_IMPORT": str(CHECKS_AT_IMPORT)}
    with gunicorn(backend, tmp_path, "--preload", **made) as server:
        server.workers(WORKERS)
        yield server


def test_hup_replaces_workers_and_loses_nothing(preloaded: Server) -> None:
    """The workers after a HUP answer as those before it, and all checks arrive."""
    before = set(preloaded.workers(WORKERS))
    # Those of the master arrive while it lives.
    preloaded.assert_every_check_was_delivered(extra=CHECKS_AT_IMPORT)
    preloaded.send(signal.SIGHUP)
    until(lambda: not any(is_alive(pid) for pid in before))
    preloaded.wait_for_change(WORKERS)
    assert preloaded.stop() == 0
    preloaded.assert_every_check_was_delivered(extra=CHECKS_AT_IMPORT)
    preloaded.assert_log_is_clean()


def test_ttin_and_ttou_change_the_number(preloaded: Server) -> None:
    """A worker that is added follows, and one that is taken away loses nothing."""
    preloaded.send(signal.SIGTTIN)
    preloaded.workers(WORKERS + 1)
    preloaded.send(signal.SIGTTOU)
    preloaded.wait_for(lambda answers: len(answers) == WORKERS)
    preloaded.send(signal.SIGTTOU)
    preloaded.wait_for(lambda answers: len(answers) == WORKERS - 1)
    assert preloaded.stop() == 0
    preloaded.assert_every_check_was_delivered(extra=CHECKS_AT_IMPORT)
