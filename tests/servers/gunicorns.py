"""gunicorn as the tests start it: four kinds of worker, one application."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from serving import GUARD, PROGRAMS, Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from backends import Backend

WORKERS = 4
# gunicorn 25 and newer runs a thread in the master, for its control socket.
HAS_CONTROL_SOCKET = int(metadata.version("gunicorn").split(".")[0]) >= 25
NO_THREAD_OF_ITS_OWN = ["--no-control-socket"] if HAS_CONTROL_SOCKET else []
# gunicorn kills what has not ended by then: a uvicorn worker that is to end quickly,
# and a worker so new that it took the signal for its master's.
SOON = ["--graceful-timeout", "1"]
PROGRAM = (str(PROGRAMS / "gunicorn"),)
KINDS = {
    "sync": ["-k", "sync", "application:app"],
    "gthread": ["-k", "gthread", "--threads", "2", "application:app"],
    "gevent": ["-k", "gevent", "application:app"],
    "uvicorn": ["-k", "uvicorn_worker.UvicornWorker", "application:asgi"],
}


def gunicorn(
    backend: Backend,
    folder: Path,
    *arguments: str,
    kind: str = "sync",
    program: Sequence[str] = PROGRAM,
    **variables: str,
) -> Server:
    """Return a gunicorn that is not started yet, with a guard at its backend.

    Args:
        backend: The backend that its application uses.
        folder: Where its state folder and its log lie.
        arguments: More of gunicorn's arguments.
        kind: Which kind of worker it has.
        program: How to start it.
        variables: More environment variables.
    """
    backend.create_guard(GUARD)
    command = [*program, "--bind", "127.0.0.1:{port}", "--workers", str(WORKERS)]
    command += ["--log-level", "error", "--graceful-timeout", "10"]
    return Server([*command, *arguments, *KINDS[kind]], backend, folder, variables)
