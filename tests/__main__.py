"""Install what the tests need and run them: ``python3 -m tests [pytest arguments]``.

Needs nothing but Python's standard library. Everything lands in `.venv-tests`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-tests"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "installed-for"
OLDEST_PYTHON = (3, 9)
OLDEST_PYTHON_FOR_MYPY = (3, 10)

SYSTEM_PACKAGES: dict[str, str] = {"openssl": "openssl"}
"""Command that the tests call, and the Debian package that brings it."""


def main(pytest_arguments: list[str]) -> int:
    """Prepare the environment, run each step, return the first failing one's status."""
    if sys.version_info < OLDEST_PYTHON:
        _give_up(f"Python 3.9 or later is needed; this is {sys.version.split()[0]}")
    _bring_system_packages()
    _bring_environment()
    for module, *arguments in _steps(pytest_arguments):
        print(f"== {module} {' '.join(arguments)}".rstrip(), flush=True)
        status = subprocess.call([str(PYTHON), "-m", module, *arguments], cwd=ROOT)
        if status:
            return status
    return 0


def _steps(pytest_arguments: list[str]) -> list[list[str]]:
    # Python 3.9 gets only old releases of mypy, which judge by other stubs.
    types = [["mypy"]] if sys.version_info >= OLDEST_PYTHON_FOR_MYPY else []
    return [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        *types,
        # Many tests wait for servers; an argument such as -n0 has the last word.
        ["pytest", "-n2", *pytest_arguments],
    ]


def _bring_system_packages() -> None:
    missing = {
        package
        for command, package in SYSTEM_PACKAGES.items()
        if not shutil.which(command)
    }
    if not missing:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *sorted(missing)]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        _give_up(f"commands are missing; as root, run: {' '.join(install)}")
    _run("apt-get", "update", "-q")
    _run(*install)


def _bring_environment() -> None:
    wanted = _fingerprint()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            version = ".".join(map(str, sys.version_info[:2]))
            _give_up(
                f"this Python has no module {module}; "
                f"as root, run: apt-get install python{version}-venv"
            )
    print("== installing the test environment into .venv-tests", flush=True)
    _run(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check"]
    _run(*pip, "install", "-q", "-e", f"{ROOT}[test]")
    STAMP.write_text(wanted)


def _fingerprint() -> str:
    """Return all that an installed environment depends on, to notice a change of it."""
    settings = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return f"{ROOT}\n{sys.base_prefix} {sys.version}\n{settings}\n"


def _run(*command: str) -> None:
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    status = subprocess.call(command, env=variables)
    if status:
        _give_up(f"this failed with status {status}: {' '.join(command)}")


def _give_up(reason: str) -> NoReturn:
    print(f"tests cannot run: {reason}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
