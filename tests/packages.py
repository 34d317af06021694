"""Packages that are installed beside the ones under test, once, and then reused."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def installed(requirement: str, name: str, *, needs: bool = False) -> Path:
    """Return the folder that pip has installed *requirement* into.

    Blocks while pip does so for the first time. Safe when several processes need it at
    once.

    Args:
        requirement: Name and version.
        name: The folder's; begins with ".venv-", which git, linters and build tools
            leave alone.
        needs: Whether to install what it needs as well.
    """
    folder = ROOT / name
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=ROOT, prefix=".venv-") as new:
            content = Path(new) / "content"
            install = [sys.executable, "-m", "pip", "install", "-q"]
            alone = [] if needs else ["--no-deps"]
            subprocess.run(
                [*install, *alone, "--target", str(content), requirement], check=True
            )
            _move(content, folder)
    return folder


def _move(content: Path, folder: Path) -> None:
    try:
        content.rename(folder)
    except OSError:
        # Another process was first: its folder serves as well.
        if not folder.exists():
            raise
