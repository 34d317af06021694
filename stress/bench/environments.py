"""Environments for what is compared, built once by name and version."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

NOT_PASSED_ON = ("PYTHON", "LITEGUARD_", "VIRTUAL_ENV")


def environment(*requirements: str) -> Path:
    """Return the interpreter of an environment that holds *requirements* alone."""
    name = "-".join(requirements).replace("==", "-").replace("/", "_")
    folder = ROOT / f".venv-bench-{name}"
    python = folder / "bin/python"
    stamp = folder / "installed"
    if not stamp.exists():
        print(f"installing {', '.join(requirements)}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "-q", *requirements]
        subprocess.run(install, check=True, env=variables())  # noqa: S603  pinned
        stamp.touch()
    return python


def own_environment() -> Path:
    """Return the interpreter of an environment in which this tree is the package."""
    python = environment("requests", "orjson")
    packages = next(python.parents[1].glob("lib/python*/site-packages"))
    (packages / "this_tree.pth").write_text(f"{ROOT}\n")
    return python


def variables() -> dict[str, str]:
    """Return the variables for a program of some environment, without this one's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(NOT_PASSED_ON)
    }
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
