"""The command ``liteguard dev``; light, because the server is imported only to run."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

DEFAULT_PORT = 8420
DEFAULT_DATABASE = "liteguard-dev.db"
EPILOG = """
One line of JSON with url, token, pid and environment goes to standard output once
requests are accepted; everything else goes to standard error.

Tokens are stored as digests, so the line cannot repeat an earlier one: each start
issues a fresh token, and those of earlier starts stay valid. Set LITEGUARD_TOKEN (or
--token, which other users can see in the process list) to keep one token over
restarts.

The url is that of a web page as well: guards, what applications do with them, and
tokens.
"""


class CannotStartError(click.ClickException):
    """Becomes one line on standard error and exit status 2."""

    exit_code = 2


@click.command(epilog=EPILOG)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Any but this machine's own needs a password.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 takes any that is free.",
)
@click.option(
    "--db",
    "database_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_DATABASE,
    show_default=True,
    help="SQLite file that keeps everything; made in the current folder by default.",
)
@click.option(
    "--seed",
    "seed_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file with environments, guards and tokens to add; what exists already "
    "is not overwritten.",
)
@click.option(
    "--environment",
    default="default",
    show_default=True,
    help="Environment that the token is for; made if it is missing.",
)
@click.option(
    "--token",
    envvar="LITEGUARD_TOKEN",
    show_envvar=True,
    help="Token to accept; by default each start issues a fresh one.",
)
@click.option(
    "--password",
    envvar="LITEGUARD_DEV_PASSWORD",
    show_envvar=True,
    help="Password of the web page and the management API; without one they answer "
    "this machine only.",
)
@click.option(
    "--keep-days",
    type=click.FloatRange(0, min_open=True),
    default=30,
    show_default=True,
    help="Days for which signals, polls and observations are kept.",
)
@click.option(
    "--keep-megabytes",
    type=click.FloatRange(0, min_open=True),
    default=4000,
    show_default=True,
    help="Size of the database beyond which the oldest signals are deleted.",
)
@click.option(
    "--log-requests", is_flag=True, help="Log each request to standard error."
)
def dev(
    *,
    host: str,
    port: int,
    database_path: Path,
    seed_path: Optional[Path],
    environment: str,
    token: Optional[str],
    password: Optional[str],
    keep_days: float,
    keep_megabytes: float,
    log_requests: bool,
) -> None:
    """Run a local backend with a database of its own, until SIGINT or SIGTERM."""
    try:
        from liteguard.devserver import (  # noqa: PLC0415 - they need the extra
            retention,
            serving,
        )
    except ModuleNotFoundError as error:
        install = "pip install 'liteguard[dev]'"
        raise CannotStartError(f"{error.name} is missing; {install}") from error
    settings = serving.Settings(
        host=host,
        port=port,
        database_path=database_path,
        seed_path=seed_path,
        environment=environment,
        token=token or None,
        log_requests=log_requests,
        password=password or None,
        limits=retention.Limits(keep_days, keep_megabytes),
    )
    try:
        serving.serve(settings)
    except serving.StartError as error:
        raise CannotStartError(str(error)) from error
