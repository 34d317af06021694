"""The gunicorn of the demo."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from liteguard.demo.processes import Child
from liteguard.demo.settings import (
    ENVIRONMENT,
    FLUSH_SECONDS,
    REFRESH_SECONDS,
    RELOAD_SECONDS,
)

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.demo.backend import Backend

_GRACEFUL_SECONDS = 2
_BACKLOG = 128


def listen() -> socket.socket:
    """Return a socket that listens on a free port of the loopback interface."""
    return socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)


def start_gunicorn(
    folder: Path, listener: socket.socket, backend: Backend, *, workers: int
) -> Child:
    """Start ``gunicorn --preload``; does not wait for it.

    Args:
        folder: For its log and the clients' state.
        listener: Where it accepts requests; the caller closes its own copy.
        backend: Where its clients ask.
        workers: How many workers it has.
    """
    descriptor = listener.fileno()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(workers)]
    options = {
        "--worker-class": "sync",
        "--bind": f"fd://{descriptor}",
        "--graceful-timeout": str(_GRACEFUL_SECONDS),
        "--config": "python:liteguard.demo.gunicorn_settings",
    }
    for option in options.items():
        command += option
    return Child(
        "gunicorn",
        [*command, "liteguard.demo.app:application"],
        folder=folder,
        variables=_client_variables(folder, backend),
        listener=(descriptor,),
    )


def _client_variables(folder: Path, backend: Backend) -> dict[str, str]:
    state = folder / "state"
    state.mkdir(mode=0o700)
    return {
        "LITEGUARD_BACKEND_URL": backend.url,
        "LITEGUARD_TOKEN": backend.token,
        "LITEGUARD_ENVIRONMENT": ENVIRONMENT,
        "LITEGUARD_STATE_DIR": str(state),
        "LITEGUARD_REFRESH_RATE_SECONDS": str(REFRESH_SECONDS),
        "LITEGUARD_RELOAD_RATE_SECONDS": str(RELOAD_SECONDS),
        "LITEGUARD_FLUSH_RATE_SECONDS": str(FLUSH_SECONDS),
    }
