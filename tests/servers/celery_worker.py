"""A real Celery worker under test, and the Redis that it gets its tasks from."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery

from serving import PROGRAMS, STOP_SECONDS, Answer, Server
from waiting import until

if TYPE_CHECKING:
    from backends import Backend

TASKS = 40


class Redis:
    """A Redis server on a unix socket, with nothing on disk, while the block runs."""

    def __enter__(self) -> Redis:
        """Start it and wait until it listens."""
        # Short: the path of a socket has little more than a hundred characters.
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        socket = Path(self._folder.name) / "socket"
        self._url = f"redis+socket://{socket}"
        settings = {"port": "0", "unixsocket": str(socket), "save": ""}
        settings["databases"] = "100"
        arguments = [word for k, v in settings.items() for word in (f"--{k}", v)]
        self._process = subprocess.Popen(
            ["redis-server", *arguments],
            cwd=self._folder.name,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until(socket.exists)
        return self

    def database(self, number: int) -> str:
        """Return the URL of one of its hundred databases."""
        return f"{self._url}?virtual_host={number}"

    def __exit__(self, *_: object) -> None:
        """End it and remove what it left."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._folder.cleanup()


class Call:
    """A task that was called, and what has become of it.

    Args:
        results: Where the worker writes results.
        task_id: The task's id.
    """

    def __init__(self, results: Any, task_id: str) -> None:
        self._results = results
        self._task_id = task_id

    @property
    def state(self) -> str:
        """What the worker has last said of it."""
        return str(self._results.get_task_meta(self._task_id)["status"])

    @property
    def result(self) -> Any:
        """What it returned, the exception that ended it, or what it says meanwhile."""
        return self._results.get_task_meta(self._task_id)["result"]

    def has_ended(self) -> bool:
        """Whether it has returned or failed."""
        return self.state in ("SUCCESS", "FAILURE")


class Worker(Server):
    """A Celery worker and the children it forks; its checks are made in tasks.

    Args:
        backend: The backend that its tasks use.
        folder: Where its state folder and its log lie.
        broker: URL of a broker that nobody else uses.
        arguments: More arguments of ``celery worker``.
        variables: More environment variables.
    """

    def __init__(
        self,
        backend: Backend,
        folder: Path,
        broker: str,
        *arguments: str,
        **variables: str,
    ) -> None:
        command = [str(PROGRAMS / "celery"), "-A", "tasks", "worker"]
        command += ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
        variables = {"BROKER": broker, **variables}
        super().__init__([*command, *arguments], backend, folder, variables)
        self.log_path = folder / "celery.log"
        # Without a backend for results, which would keep a subscription open.
        self._app = Celery(broker=broker)
        self._results = Celery(broker=broker, backend=broker).backend

    def __enter__(self) -> Worker:
        """Start the worker and wait until it has done a task."""
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker and everything it started, and the connections to Redis."""
        super().__exit__()
        self._app.close()
        self._results.client.close()

    def call(self, task: str, *arguments: Any, **options: Any) -> Call:
        """Call a task."""
        sent = self._app.send_task(f"tasks.{task}", arguments, **options)
        return Call(self._results, sent.id)

    def check(self) -> Answer:
        """Make one check in whichever child takes the task."""
        return self._count(self.call("check"))

    def ask(self, path: str) -> Answer:
        """Do the same: a worker has only tasks to be asked by."""
        assert path
        return self.check()

    def sweep(self, requests_made: int = TASKS) -> dict[int, Answer]:
        """Make many checks, and return each child's last answer."""
        results = [self.call("check") for _ in range(requests_made)]
        answers = [self._count(result) for result in results]
        return {told["pid"]: told for told in answers}

    def call_and_wait(self, number: int, **options: Any) -> Call:
        """Have a task make *number* checks, and return it when it has made them."""
        call = self.call("check_and_wait", number, **options)
        until(lambda: call.state == "CHECKED")
        return call

    def _count(self, call: Call) -> Answer:
        until(call.has_ended)
        told: Answer = call.result
        self.answered[told["pid"]] += 1
        return told
