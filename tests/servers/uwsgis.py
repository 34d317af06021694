"""uWSGI as the tests start it, and the options that decide which hooks it runs."""

from __future__ import annotations

import os
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Callable, Optional

from serving import AT_ONCE, GUARD, HERE, PROGRAMS, ROOT, Answer, Server
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from backends import Backend

WORKERS = 4
HOOKS = {
    "plain": [],
    "enable-threads": ["--enable-threads"],
    "osafterfork": ["--py-call-osafterfork"],
    "uwsgi-fork-hooks": ["--py-call-uwsgi-fork-hooks"],
    "everything": [
        "--enable-threads",
        "--py-call-osafterfork",
        "--py-call-uwsgi-fork-hooks",
    ],
}
if sys.version_info >= (3, 13):
    # With it alone each worker dies at its start, whatever the application imports.
    del HOOKS["osafterfork"]
LOADING = {"preload": [], "lazy-apps": ["--lazy-apps"]}
CHECKS_AT_IMPORT = 25
PROGRAM = (str(PROGRAMS / "uwsgi"),)
# Where a reload, which runs the interpreter again, finds what the tests import.
IMPORTED_FROM = [str(ROOT), str(HERE), sysconfig.get_path("purelib")]


def uwsgi(
    backend: Backend,
    folder: Path,
    *arguments: str,
    application: str = "application:app",
    program: Sequence[str] = PROGRAM,
    term: Sequence[str] = ("--die-on-term",),
    **variables: str,
) -> Server:
    """Return a uWSGI that is not started yet, with a guard at its backend.

    Args:
        backend: The backend that its application uses.
        folder: Where its state folder and its log lie.
        arguments: More of uWSGI's arguments.
        application: Module and name of what it serves.
        program: How to start it.
        term: What makes SIGTERM end it; without that it reloads.
        variables: More environment variables.
    """
    backend.create_guard(GUARD)
    command = [*program, "--http-socket", "127.0.0.1:{port}"]
    command += ["-H", sys.prefix, "--module", application, "--need-app"]
    command += ["--processes", str(WORKERS), "--disable-logging", *term]
    variables = {"PYTHONPATH": os.pathsep.join(IMPORTED_FROM), **variables}
    return Server([*command, *arguments], backend, folder, variables)


def from_each(ask: Callable[[], Optional[Answer]]) -> list[Answer]:
    """Ask until each worker has answered, and return all answers."""
    found: list[Answer] = []

    def have_all_answered() -> bool:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            told = pool.map(lambda _: ask(), range(AT_ONCE))
            found.extend(filter(None, told))
        return len({told["pid"] for told in found}) == WORKERS

    until(have_all_answered)
    return found
