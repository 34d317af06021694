"""uWSGI with its workers, whose forks run no hook of Python unless told to."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from serving import is_alive, threads_of
from uwsgis import CHECKS_AT_IMPORT, HOOKS, LOADING, WORKERS, uwsgi
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend


@pytest.mark.parametrize("loading", LOADING)
def test_every_worker_follows_under_gevent(
    loading: str, backend: Backend, tmp_path: Path
) -> None:
    """Workers that gevent patches after the import of the application follow too."""
    arguments = ["--master", *LOADING[loading], "--gevent", "20"]
    with uwsgi(backend, tmp_path, *arguments, "--gevent-monkey-patch") as server:
        server.workers(WORKERS)
        server.wait_for_change(WORKERS)
        server.leader()
        server.assert_every_check_was_delivered()
        assert server.stop() == 0
        server.assert_log_is_clean()


@pytest.mark.parametrize("hooks", HOOKS)
def test_master_has_no_thread_of_ours(
    hooks: str, backend: Backend, tmp_path: Path
) -> None:
    """The master that imported the application has no thread, and no lock to lead."""
    with uwsgi(backend, tmp_path, "--master", *HOOKS[hooks]) as server:
        server.workers(WORKERS)
        assert threads_of(server.pid) == 1
        assert server.leader() != server.pid


@pytest.mark.parametrize("hooks", HOOKS)
def test_checks_at_import_arrive_while_the_master_lives(
    hooks: str, backend: Backend, tmp_path: Path
) -> None:
    """What the master checked is delivered by workers that check nothing, once."""
    made = {"CHECKS_AT_IMPORT": str(CHECKS_AT_IMPORT)}
    with uwsgi(backend, tmp_path, "--master", *HOOKS[hooks], **made) as server:
        master = str(server.pid)
        server.assert_every_check_was_delivered(extra=CHECKS_AT_IMPORT)
        assert is_alive(int(master))


@pytest.mark.parametrize("hooks", HOOKS)
def test_respawned_worker_always_answers(
    hooks: str, backend: Backend, tmp_path: Path
) -> None:
    """Twelve workers, killed four at a time, are replaced by workers that answer."""
    with uwsgi(backend, tmp_path, "--master", *HOOKS[hooks]) as server:
        for _ in range(3):
            victims = list(server.workers(WORKERS))
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            until(lambda victims=victims: not any(map(is_alive, victims)))  # type: ignore[misc]
        server.workers(WORKERS)
        server.wait_for_change(WORKERS)
        server.assert_every_check_was_delivered()


def test_hup_reloads_and_loses_nothing(backend: Backend, tmp_path: Path) -> None:
    """The workers after a reload follow, and all checks of those before it arrive."""
    with uwsgi(backend, tmp_path, "--master") as server:
        before = set(server.workers(WORKERS))
        server.send(signal.SIGHUP)
        until(lambda: not any(is_alive(pid) for pid in before))
        server.workers(WORKERS)
        server.assert_every_check_was_delivered()


def test_recycled_workers_lose_nothing(backend: Backend, tmp_path: Path) -> None:
    """Workers that end after a number of requests deliver what they recorded."""
    with uwsgi(backend, tmp_path, "--master", "--max-requests", "20") as server:
        before = set(server.workers(WORKERS))

        def are_replaced() -> bool:
            server.sweep()
            return not any(is_alive(pid) for pid in before)

        until(are_replaced)
        server.assert_every_check_was_delivered()


def test_harakiri_loses_nothing(backend: Backend, tmp_path: Path) -> None:
    """A worker killed in a request that took too long had its checks journalled."""
    with uwsgi(backend, tmp_path, "--master", "--harakiri", "1") as server:
        server.workers(WORKERS)
        assert server.ask("/stuck") is None
        server.workers(WORKERS)
        server.assert_every_check_was_delivered()
