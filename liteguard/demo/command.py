"""The command ``liteguard demo``; light, because what it needs is imported to run."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

NEEDED = ("fastapi", "uvicorn", "gunicorn", "rich")
DUMB_TERMINALS = {"", "dumb", "unknown"}


class CannotStartError(click.ClickException):
    """Becomes one line on standard error and exit status 2."""

    exit_code = 2


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(2, 32),
    default=4,
    show_default=True,
    help="Workers of gunicorn.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1, 60),
    default=5,
    show_default=True,
    help="How long to watch before anything is changed.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave everything running afterwards, to play with, until Ctrl-C.",
)
def demo(*, workers: int, seconds: int, keep: bool) -> None:
    """Show on this machine, with a real gunicorn, what Liteguard promises.

    Starts a local backend and a gunicorn with a preloaded application, sends requests,
    turns a guard on, kills the leader, turns the guard off, and counts. Exit status 0
    if every promise was kept, else 1.
    """
    _check_needs()
    from liteguard.demo.performance import Performance  # noqa: PLC0415 - needs fork

    performance = Performance(
        workers=workers, watch_seconds=seconds, keep=keep, live=_has_terminal()
    )
    sys.exit(performance.run())


def _has_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in DUMB_TERMINALS


def _check_needs() -> None:
    if not hasattr(os, "fork"):
        raise CannotStartError(
            "the demo runs gunicorn, which needs fork; this system has none"
        )
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise CannotStartError(f"{names} missing; pip install 'liteguard[demo]'")
