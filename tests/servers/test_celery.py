"""Celery with its pools, through everything that happens to its children."""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING, NamedTuple

import pytest

from backends import Backend
from celery_worker import Redis, Worker
from clients import offline
from liteguard.integrations.celery import carry_scopes
from serving import GUARD, PROGRAMS, Server, is_alive
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devserver import DevServer

CHILDREN = 4
PREFORK = ("--concurrency", str(CHILDREN))
# Within a test it comes never: what is delivered was delivered at an exit.
UNHURRIED = {"LITEGUARD_FLUSH_RATE_SECONDS": "3600"}
# Too seldom for most of a test: what is delivered was left by somebody.
SELDOM = {"LITEGUARD_FLUSH_RATE_SECONDS": "3"}
# Python 3.12 and newer warn of a fork in a process with threads, if they are asked to.
TELLS_OF_THREADS = {"PYTHONWARNINGS": "always:This process:DeprecationWarning"}
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """Run one Redis for this module."""
    with Redis() as running:
        yield running


@pytest.fixture
def broker(redis: Redis) -> str:
    """Return the URL of a database that no other test uses."""
    return redis.database(next(NUMBERS))


@pytest.fixture
def guarded(backend: Backend) -> Backend:
    """Return a backend with the guard that tasks check."""
    backend.create_guard(GUARD)
    return backend


def test_web_and_worker_share_one_poller(
    guarded: Backend, tmp_path: Path, broker: str
) -> None:
    """The processes of both servers follow one leader, and each check arrives once."""
    command = [str(PROGRAMS / "gunicorn"), "--bind", "127.0.0.1:{port}", "--preload"]
    command += ["--workers", "2", "--log-level", "error", "application:app"]
    with (
        Server(command, guarded, tmp_path) as web,
        Worker(guarded, tmp_path, broker, *PREFORK, **TELLS_OF_THREADS) as worker,
    ):
        worker.wait_for_change(CHILDREN)
        web.workers(2, lambda told: told["open"])
        told = {**web.workers(2), **worker.workers(CHILDREN)}
        roles = sorted(told[pid]["role"] for pid in told)
        assert roles == ["follower"] * (CHILDREN + 1) + ["leader"]
        before = guarded.polls()[-1]["id"]
        until(lambda: len(guarded.polls(since=before)) >= 3)
        pollers = {int(poll["pid"]) for poll in guarded.polls(since=before)}
        assert [told[pid]["role"] for pid in pollers] == ["leader"]
        assert worker.stop() == 0
        web.leader()
        made_for_web = sum(web.answered.values())
        worker.assert_every_check_was_delivered(extra=made_for_web)
        assert guarded.signal_summary()["redelivered"] == 0
        worker.assert_log_is_clean()
        assert "multi-threaded" not in worker.log()


def test_children_of_one_task_lose_nothing(
    guarded: Backend, tmp_path: Path, broker: str
) -> None:
    """Children that end after each task deliver its check before they end."""
    arguments = ("--concurrency", "8", "--max-tasks-per-child", "1")
    with Worker(guarded, tmp_path, broker, *arguments, **UNHURRIED) as worker:
        worker.sweep(30)
        assert len(worker.answered) == 31  # one more to see that it is ready
        worker.assert_every_check_was_delivered()
        assert guarded.signal_summary()["redelivered"] == 0


def test_children_that_are_ended_lose_nothing(
    guarded: Backend, tmp_path: Path, broker: str
) -> None:
    """Neither time limits nor SIGKILL cost a check, and the other children go on."""
    with Worker(guarded, tmp_path, broker, *PREFORK, **SELDOM) as worker:
        limited = worker.call_and_wait(5, time_limit=1)
        warned = worker.call_and_wait(5, soft_time_limit=1)
        killed = worker.call_and_wait(5)
        os.kill(killed.result["pid"], signal.SIGKILL)
        for call, reason in (
            (limited, "TimeLimitExceeded"),
            (warned, "SoftTimeLimitExceeded"),
            (killed, "WorkerLostError"),
        ):
            until(call.has_ended)
            assert type(call.result).__name__ == reason
        worker.workers(CHILDREN)
        # One more in the task that was warned.
        worker.assert_every_check_was_delivered(extra=5 + 5 + 1 + 5)


class End(NamedTuple):
    """A way to end a worker: by which signal, and with what in its environment."""

    number: signal.Signals
    variables: dict[str, str]


WARM = End(signal.SIGTERM, {})
ENDS = {
    "warm": WARM,
    "cold": End(signal.SIGQUIT, {}),
    "soft": End(signal.SIGQUIT, {"SOFT_SHUTDOWN": "1"}),
    "remapped": End(signal.SIGTERM, {"REMAP_SIGTERM": "SIGQUIT"}),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_shutdown_delivers_everything(
    end: End, guarded: Backend, tmp_path: Path, broker: str
) -> None:
    """When a worker has ended, each check that a child made was delivered, once."""
    variables = {**UNHURRIED, **end.variables}
    with Worker(guarded, tmp_path, broker, *PREFORK, **variables) as worker:
        worker.workers(CHILDREN)
        if end is not WARM:  # which would wait for the task to end
            worker.call_and_wait(5)
        worker.stop(end.number)
    worker.assert_every_check_was_delivered(extra=0 if end is WARM else 5)
    assert guarded.signal_summary()["redelivered"] == 0


def test_next_start_delivers_what_a_killed_worker_left(
    guarded: Backend, tmp_path: Path, broker: str
) -> None:
    """Checks of processes that were all killed arrive when the worker runs again."""
    worker = Worker(guarded, tmp_path, broker, *PREFORK, **SELDOM)
    with worker:
        children = worker.workers(CHILDREN)
        for pid in (worker.pid, *children):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(is_alive(pid) for pid in children))
        worker.stop(signal.SIGKILL)
    with worker:
        worker.assert_every_check_was_delivered()


@pytest.fixture(scope="module", params=["prefork", "solo", "threads", "gevent"])
def pool(
    request: pytest.FixtureRequest,
    devserver: DevServer,
    redis: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Worker]:
    """Run a worker with one child or thread, or with greenlets."""
    number = next(NUMBERS)
    backend = Backend(devserver, f"celery-pool-{number}")
    backend.create_guard(GUARD)
    arguments = ["--pool", request.param]
    arguments += [] if request.param == "gevent" else ["--concurrency", "1"]
    folder = tmp_path_factory.mktemp("pool")
    with Worker(backend, folder, redis.database(number), *arguments) as worker:
        yield worker


def test_pool_follows_and_delivers(pool: Worker) -> None:
    """Tasks see a change, and each check arrives, in whatever they run."""
    pool.wait_for_change(1)
    pool.assert_every_check_was_delivered()
    pool.assert_log_is_clean()


def test_scope_of_the_caller_is_bound_in_the_task(pool: Worker) -> None:
    """A task has the properties of its caller's scope, and the next one has not."""
    client = offline()
    carrier = carry_scopes(client)
    try:
        with client.with_properties({"user": 7, "plan": "pro"}):
            carried = pool.check()
        after = pool.check()
    finally:
        carrier.stop()
    assert carried["properties"] == {"user": 7, "plan": "pro"}
    assert after["properties"] == {}
