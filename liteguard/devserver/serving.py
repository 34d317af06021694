"""Start the local backend: open the database, bind, serve, and say where.

Everything but the one line of JSON goes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sqlite3
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Optional

import uvicorn
from pydantic import TypeAdapter, ValidationError

from liteguard.devserver.access import is_local
from liteguard.devserver.app import create_app
from liteguard.devserver.database import Database
from liteguard.devserver.environments import (
    DEFAULT_NAME,
    NewEnvironment,
    ensure_environment,
)
from liteguard.devserver.migrations import SchemaTooNewError
from liteguard.devserver.problems import RequestProblem, first_problem
from liteguard.devserver.retention import Limits, Pruner
from liteguard.devserver.seed import SeedError, read_seed
from liteguard.devserver.tokens import (
    NewToken,
    TokenText,
    authorise,
    ensure_token,
    issue_token,
)
from liteguard.devserver.transfer import import_all

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from liteguard.devserver.news import News

BACKLOG = 2048
"""How many connections may wait to be accepted."""

SHUTDOWN_SECONDS = 2
"""How long requests under way may take once the server was told to stop."""


class StartError(Exception):
    """The backend cannot start; the message is one line for the user."""


@dataclass(frozen=True)
class Settings:
    """How to start.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes any that is free.
        database_path: The SQLite file, created if missing.
        seed_path: A seed file, or ``None``.
        environment: The environment that the token is for, created if missing.
        token: The token to accept; ``None`` makes a new one.
        log_requests: Log each request to standard error.
        password: What the management API asks for; ``None`` keeps it to this machine.
        limits: How much of what clients send is kept.
    """

    host: str
    port: int
    database_path: Path
    seed_path: Optional[Path]
    environment: str
    token: Optional[str] = field(repr=False)
    log_requests: bool
    password: Optional[str] = field(repr=False)
    limits: Limits


class AnnouncingServer(uvicorn.Server):
    """A server that tells where it is as soon as it accepts requests.

    Args:
        config: As for the base class.
        announcement: What to write to standard output then.
        news: Whose readers are sent home when the server stops.
    """

    def __init__(self, config: uvicorn.Config, announcement: str, news: News) -> None:
        super().__init__(config)
        self._announcement = announcement
        self._news = news

    async def startup(self, sockets: Optional[list[socket.socket]] = None) -> None:
        """Start accepting, then announce."""
        await super().startup(sockets=sockets)
        if self.started:
            sys.stdout.write(self._announcement + "\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: Optional[list[socket.socket]] = None) -> None:
        """End the streams of news, which would go on for ever, then the rest."""
        self._news.close()
        await super().shutdown(sockets=sockets)


def serve(settings: Settings) -> None:
    """Run the backend until SIGINT or SIGTERM.

    Args:
        settings: How to start.

    Raises:
        StartError: The database, the seed file, the token or the port cannot be used.
        SystemExit: With status 0, after a signal to stop.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # The server restores these and raises the signal again once it has stopped.
        signal.signal(number, _leave)
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
    _require_password(settings)
    database = _open(settings)
    pruner = Pruner(database, settings.limits)
    try:
        token = _prepare(database, settings)
        with listen(settings.host, settings.port) as listener:
            pruner.start()
            _run(database, listener, settings, token)
    finally:
        pruner.stop()
        database.close()


def _require_password(settings: Settings) -> None:
    if settings.password is None and not is_local(settings.host):
        raise StartError(
            f"--host {settings.host} lets other machines manage guards: set a password"
            " with LITEGUARD_DEV_PASSWORD"
        )


def _leave(_: int, __: Optional[FrameType]) -> NoReturn:
    raise SystemExit(0)


def _open(settings: Settings) -> Database:
    try:
        return Database(settings.database_path)
    except (OSError, sqlite3.Error, SchemaTooNewError) as error:
        raise StartError(f"database {settings.database_path}: {error}") from error


def _prepare(database: Database, settings: Settings) -> str:
    """Fill the database with what the first request needs; return the token."""
    try:
        seed = read_seed(settings.seed_path) if settings.seed_path else None
        with database.writing() as connection:
            if seed:
                import_all(connection, seed, replace=False)
            for name in (DEFAULT_NAME, settings.environment):
                ensure_environment(connection, NewEnvironment(name=name))
            return _accept_token(connection, settings)
    except SeedError as error:
        raise StartError(str(error)) from error
    except ValidationError as error:
        reason = first_problem(error.errors()).reason
        raise StartError(f"environment or token: {reason}") from error
    except RequestProblem as error:
        raise StartError(f"environment {settings.environment}: {error}") from error
    except sqlite3.Error as error:
        raise StartError(f"database {settings.database_path}: {error}") from error


def _accept_token(connection: sqlite3.Connection, settings: Settings) -> str:
    if settings.token is None:
        new = NewToken(environment=settings.environment)
        return issue_token(connection, new, source="start").token
    token = TypeAdapter(TokenText).validate_python(settings.token)
    ensure_token(connection, token, settings.environment, source="start")
    authorise(connection, token, settings.environment)
    return token


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, the caller's to close.

    Raises:
        StartError: The address is not ours or in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        place = f"{host} port {port}"
        raise StartError(f"cannot listen on {place}: {error.strerror}") from error
    # Accepted connections inherit it. asyncio sets it on sockets of its own making
    # only, and without it the body waits 40 ms for the headers' acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _run(
    database: Database, listener: socket.socket, settings: Settings, token: str
) -> None:
    if settings.log_requests:
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    config = uvicorn.Config(
        create_app(database, settings.password),
        access_log=settings.log_requests,
        log_config=None,  # ours goes to standard error
        log_level=None,
        lifespan="off",
        # Behind a proxy on this machine everybody would pass for a local program.
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1,::1",
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    announcement = {
        "url": _url(listener),
        "token": token,
        "pid": os.getpid(),
        "environment": settings.environment,
    }
    server = AnnouncingServer(config, json.dumps(announcement), database.news)
    server.run(sockets=[listener])


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
