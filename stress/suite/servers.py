"""Real servers as hosts: gunicorn, uWSGI and Celery, started as in the tests."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stress.suite.measuring import measured
from stress.suite.places import variables
from stress.suite.stage import CannotRun

# These lie beside the tests; `places` has made them importable.
from celery import Celery  # isort: skip
from celery_worker import Redis  # isort: skip
from gunicorns import NO_THREAD_OF_ITS_OWN  # isort: skip
from serving import PROGRAMS, REQUEST_SECONDS, Server  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stress.suite.stage import Stage

CLIENTS = 4
PAUSE_SECONDS = 0.04
DRAIN_SECONDS = 15.0
GUNICORN = ["gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error"]
GUNICORN += ["--graceful-timeout", "10", "--preload", *NO_THREAD_OF_ITS_OWN]
UWSGI = ["uwsgi", "--http-socket", "127.0.0.1:{port}", "-H", sys.prefix]
UWSGI += ["--need-app", "--master", "--disable-logging", "--die-on-term"]
CELERY = ["celery", "-A", "stress_tasks", "worker", "--without-gossip"]
CELERY += ["--without-mingle", "--loglevel", "WARNING", "--max-tasks-per-child", "1"]
# What the three say of a worker that ended otherwise than it was meant to.
_DEATHS = re.compile(r"died :\(|was sent SIG|WORKER TIMEOUT|exited with 'signal")


class _NoVariables:
    """Stands for the tests' backend: the programs here have settings of their own."""

    def variables(self, _: Path) -> dict[str, str]:
        """Return none."""
        return {}


class ServerHost(Server):
    """A server and its workers.

    Args:
        stage: Where it plays.
        command: What to run; ``{port}`` stands for the port to listen on.
        **more: More environment variables.
    """

    loops = False

    def __init__(self, stage: Stage, command: list[str], **more: str) -> None:
        told = {**variables(stage.package), **stage.settings().variables(), **more}
        command = [str(PROGRAMS / command[0]), *command[1:]]
        backend: Any = _NoVariables()
        super().__init__(command, backend, stage.folder, told)
        self.hangs = 0
        self.unanswered_requests = 0
        self.longest_request_seconds = 0.0
        self._counting = threading.Lock()

    @property
    def deaths(self) -> int:
        """How many workers ended otherwise than they were meant to."""
        return len(_DEATHS.findall(self.log()))

    def request(self) -> None:
        """Let a worker look, and note if it does not answer."""
        begun = time.monotonic()
        told = self.ask("/check")
        taken = time.monotonic() - begun
        with self._counting:
            self.hangs += told is None and taken >= REQUEST_SECONDS
            self.unanswered_requests += told is None
            self.longest_request_seconds = max(self.longest_request_seconds, taken)


@contextmanager
def gunicorn(stage: Stage) -> Iterator[ServerHost]:
    """Run gunicorn with ``--preload``, under load."""
    workers = ["--workers", str(stage.plan.workers), "stress_application:app"]
    with _under_load(stage, ServerHost(stage, [*GUNICORN, *workers])) as host:
        yield host


@contextmanager
def uwsgi(stage: Stage) -> Iterator[ServerHost]:
    """Run uWSGI with a master and the options that it has by default, under load."""
    workers = ["--processes", str(stage.plan.workers)]
    command = [*UWSGI, *workers, "--module", "stress_application:app"]
    with _under_load(stage, ServerHost(stage, command)) as host:
        yield host


@contextmanager
def _under_load(stage: Stage, host: ServerHost) -> Iterator[ServerHost]:
    ending = threading.Event()

    def ask_on() -> None:
        while not ending.wait(PAUSE_SECONDS):
            host.request()

    clients = [threading.Thread(target=ask_on, daemon=True) for _ in range(CLIENTS)]
    with measured(stage, host):
        for client in clients:
            client.start()
        try:
            yield host
        finally:
            ending.set()
            for client in clients:
                client.join()
        stage.more["requests without an answer"] = host.unanswered_requests
        stage.more["longest request, s"] = host.longest_request_seconds


class CeleryHost(ServerHost):
    """A Celery worker, each child of which does one task.

    Args:
        stage: Where it plays.
        broker: URL of a Redis.
    """

    def __init__(self, stage: Stage, broker: str) -> None:
        children = ["--concurrency", str(stage.plan.workers)]
        super().__init__(stage, [*CELERY, *children], BROKER=broker)
        self.sent = 0
        self._tallies = stage.tallies
        self._app = Celery(broker=broker)

    def __exit__(self, *_: object) -> None:
        """End it, and the connection to Redis."""
        super().__exit__()
        self._app.close()

    def call(self) -> None:
        """Call a task."""
        self._app.send_task("stress_tasks.look")
        self.sent += 1

    def done(self) -> int:
        """Return how many tasks have begun: each in a process of its own."""
        return len(list(self._tallies.glob("*.tally")))

    def _is_listening(self) -> bool:
        assert self._running().poll() is None, self.log()  # noqa: S101  it has ended
        if not self.sent:
            self.call()
        return self.done() > 0


@contextmanager
def celery(stage: Stage) -> Iterator[CeleryHost]:
    """Run a Celery worker with ``--max-tasks-per-child 1``, on a Redis of its own.

    Raises:
        CannotRun: There is no Redis here.
    """
    if shutil.which("redis-server") is None:
        raise CannotRun("needs redis-server")
    with Redis() as redis:
        host = CeleryHost(stage, redis.database(0))
        with measured(stage, host):
            yield host
            end = time.monotonic() + DRAIN_SECONDS
            while host.done() < host.sent and time.monotonic() < end:
                stage.pause(PAUSE_SECONDS)
            host.hangs += host.sent - host.done()
            stage.more["tasks"] = host.done()
