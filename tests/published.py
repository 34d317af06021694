"""The published package 0.7, unchanged, in a folder of its own, for comparison."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from packages import installed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = "0.7.20260603"
PROGRAM_SECONDS = 60.0


def published_folder() -> Path:
    """Return the folder that holds the published package, made once and then reused.

    Blocks while pip installs it. Safe when several processes need it at once.
    """
    return installed(f"liteguard=={VERSION}", f".venv-published-{VERSION}")


def published_variables() -> Mapping[str, str]:
    """Return an environment in which ``import liteguard`` finds the published one."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "LITEGUARD_"))
    }
    # Without the exception a configured proxy would be asked for the local backend.
    passed_by = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {**inherited, **passed_by, "PYTHONPATH": str(published_folder())}


def start_published(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program with the published package; its standard streams are pipes.

    Args:
        program: Python source.
        arguments: What it finds in ``sys.argv``.
    """
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=published_folder(),  # the current folder is searched first
        env=dict(published_variables()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], text: str = "") -> str:
    """Give a program its last input and return what it printed.

    Raises:
        AssertionError: It failed.
        subprocess.TimeoutExpired: It did not end in time; it has been killed.
    """
    try:
        printed, complaints = process.communicate(text, timeout=PROGRAM_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, printed + complaints
    return printed
