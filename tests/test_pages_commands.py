"""Commands of the documentation that install or measure, as they are printed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from environments import Environment
from pages import INSTALLING, MEASURING, ROOT, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pages import Block

# What the reader has in front of him, apart from what tests and tools left in it.
CLONED = ["CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"]
CLONED_FOLDERS = ["docs", "liteguard", "stress", "tests"]
# A measurement is started and goes through all it does, and no figure is looked at.
BRIEFLY = {
    "STRESS_BRIEFLY": "1",
    "STRESS_ALONE": "1",
    "STRESS_ONLY": "soak",
    "STRESS_SECONDS": "1",
    "STRESS_WORKERS": "2",
    "STRESS_FLEET_HOSTS": "2",
}
SHIM = """#!/bin/sh
[ "$1 $2" = "-m venv" ] && shift 2 && exec {python} -m virtualenv -q "$@"
exec {python} "$@"
"""
DEMO = "liteguard demo"
INSTALLED = "import liteguard; print(liteguard.__file__)"


def lines(blocks: list[Block]) -> list[str]:
    """Return the command lines of blocks, each once."""
    found = [
        command
        for block in blocks
        for command, _ in block.commands or [(block.code.strip(), "")]
    ]
    return list(dict.fromkeys(found))


class Clone:
    """A clone of the repository, in which a reader installs what pages tell him to.

    What this package needs is there already, in the environment of the tests, so that
    pip has to make and install this package alone.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.folder.mkdir()
        for name in CLONED:
            shutil.copy(ROOT / name, self.folder / name)
        unwanted = shutil.ignore_patterns("__pycache__", "_build", "report", "results")
        for name in CLONED_FOLDERS:
            shutil.copytree(ROOT / name, self.folder / name, ignore=unwanted)
        environment = Environment(self.folder / ".venv")
        self._programs = environment.programs
        (packages,) = self.folder.glob(".venv/lib/python*/site-packages")
        there = [path for path in sys.path if path.endswith("-packages")]
        (packages / "tests.pth").write_text("\n".join(there))
        self._other = folder / "bin"
        self._other.mkdir()
        if importlib.util.find_spec("ensurepip") is None:
            # Debian has it in a package of its own, and tells a reader so.
            shim = self._other / "python3"
            shim.write_text(SHIM.format(python=sys.executable))
            shim.chmod(0o755)
        self._variables = Walk(self.folder, BRIEFLY).variables
        del self._variables["PYTHONPATH"]

    def run(self, line: str) -> None:
        """Run a command line, until its demonstration runs if it ends with one."""
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env={**self._variables, "PATH": self._path(line)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with process:
            if line.endswith(DEMO):
                told = _interrupted(process, until="the others read its snapshot")
                assert process.returncode == 128 + signal.SIGINT, (line, told)
            else:
                told, _ = process.communicate()
                assert process.returncode == 0, (line, told)
        if "pip install" in line:
            self._look_for_package(line)

    def _path(self, line: str) -> str:
        # Who names his environment's programs has not put them on the path.
        own = [] if ".venv" in line else [str(self._programs)]
        places = [*own, str(self._other), self._variables["PATH"]]
        return os.pathsep.join(places)

    def _look_for_package(self, line: str) -> None:
        python = [str(self._programs / "python"), "-c", INSTALLED]
        variables = {**self._variables, "PYTHONSAFEPATH": "1"}
        found = subprocess.check_output(
            python, cwd=self._other, env=variables, text=True
        )
        assert found.startswith(str(self.folder)), (line, found)


def _interrupted(process: subprocess.Popen[str], *, until: str) -> str:
    """Read what it prints up to a text, send Ctrl-C, and return all that it printed."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if until in line:
            os.killpg(process.pid, signal.SIGINT)
    process.wait()
    return told


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    """Return a clone."""
    made = Clone(tmp_path)
    yield made
    shutil.rmtree(made.folder)


@pytest.mark.timeout(300)
def test_what_pages_tell_to_install_is_installed_and_works(clone: Clone) -> None:
    """Each line ends well, one after another, in one environment."""
    for line in lines(INSTALLING):
        clone.run(line)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("line", lines(MEASURING))
def test_measurement_runs_from_beginning_to_end(line: str, tmp_path: Path) -> None:
    """It prints something, and writes nothing into the repository."""
    results = ROOT / "stress/bench/results"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    ran = subprocess.run(
        ["bash", "-c", line],
        cwd=ROOT,
        env={**Walk(tmp_path, BRIEFLY).variables, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before
    # Where it makes an environment, ensurepip leaves certificates behind.
    assert [left for left in tmp_path.iterdir() if left.suffix != ".pem"] == []
