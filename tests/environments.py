"""Virtual environments of their own, for tests of what is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Environment:
    """A fresh virtual environment with this interpreter.

    Args:
        folder: Where to create it; must not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "virtualenv", "-q", str(folder)], check=True
        )
        self.programs = folder / "bin"

    def install(self, *arguments: str) -> None:
        """Let pip install *arguments*."""
        self.run("python", "-m", "pip", "install", "-q", *arguments)

    def run(self, program: str, *arguments: str, **variables: str) -> str:
        """Run *program* of this environment and return what it printed."""
        finished = self.call(program, *arguments, **variables)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def call(
        self, program: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run *program* of this environment and return how it ended.

        It runs outside the source tree, and *variables* are all it is told of Python.
        """
        return subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.programs,
            env={**_without_python_settings(), **variables},
            capture_output=True,
            text=True,
            check=False,
        )


def _without_python_settings() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "LITEGUARD_"))
    }
