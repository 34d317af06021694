"""Environments for what is compared, built once by name and version."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]

BRIEFLY = bool(os.environ.get("STRESS_BRIEFLY"))
"""Whether to show that it works, rather than to measure."""

NOT_PASSED_ON = ("PYTHON", "LITEGUARD_", "VIRTUAL_ENV")


def environment(*requirements: str) -> Path:
    """Return the interpreter of an environment that holds *requirements* alone."""
    name = "-".join(requirements).replace("==", "-").replace("/", "_")
    folder = ROOT / f".venv-bench-{name}"
    python = folder / "bin/python"
    stamp = folder / "installed"
    with _alone():
        if not stamp.exists():
            print(f"installing {', '.join(requirements)}", file=sys.stderr, flush=True)
            _create(folder)
            install = [str(python), "-m", "pip", "install", "-q", *requirements]
            subprocess.run(install, check=True, env=variables())  # noqa: S603  pinned
            stamp.touch()
    return python


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other process make an environment meanwhile."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _create(folder: Path) -> None:
    # Debian leaves ensurepip, and so venv's pip, out of its packages.
    maker = "venv" if find_spec("ensurepip") else "virtualenv"
    make = [sys.executable, "-m", maker, "--clear", str(folder)]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  as above


def own_environment() -> Path:
    """Return the interpreter of an environment in which this tree is the package."""
    python = environment("requests", "orjson")
    packages = next(python.parents[1].glob("lib/python*/site-packages"))
    # Replaced as a whole: another benchmark may be reading it at this moment.
    new = packages / f"this_tree-{os.getpid()}"
    new.write_text(f"{ROOT}\n")
    new.replace(packages / "this_tree.pth")
    return python


def variables() -> dict[str, str]:
    """Return the variables for a program of some environment, without this one's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(NOT_PASSED_ON)
    }
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
