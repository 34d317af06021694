"""Tests of the state folder and of services again, by one for whom permissions count.

The suite runs as root, who may read and write everything; as anybody else it is the
ordinary user's run already, and there is nothing to do here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT
from forking import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_ROOT = os.geteuid() == 0
FILES = [
    "test_statedir.py",
    "test_faults_users.py",
    "test_snapshots.py",
    "test_pages_services.py::test_service_runs_as_its_file_says",
]
# What the interpreter and the suite are made of must be within reach of everybody: in
# a mount namespace of its own, a folder that is closed to others becomes an empty one
# that is open, with only what is needed in it.


def closed_parents(path: Path) -> Iterator[Path]:
    """Yield the folders above *path* that others may not enter."""
    for parent in path.parents:
        if not parent.stat().st_mode & 0o001:
            yield parent


def way_for_everybody(keep: Path) -> str:
    """Return the shell commands that open a way to all that Python needs.

    Args:
        keep: An empty folder, to reach by it what is covered.
    """
    needed = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    closed = {parent for path in needed for parent in closed_parents(path)}
    lines = ["set -e"]
    for parent in sorted(closed)[:1]:
        within = [path for path in needed if parent in path.parents]
        lines += [f"mount --bind {parent} {keep}"]
        lines += [f"mount -t tmpfs -o mode=755 none {parent}"]
        for path in within:
            place = path.relative_to(parent)
            lines += [f"mkdir -p {path}", f"mount --bind {keep}/{place} {path}"]
    return "\n".join(lines)


if IS_ROOT:

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("file", FILES)
    def test_folder_is_as_safe_for_an_ordinary_user(file: str, common: Path) -> None:
        """Each test passes, and none is left out."""
        home = common / "home"
        home.mkdir()
        keep = common / "keep"
        keep.mkdir()
        os.chown(home, NOBODY, NOBODY)
        run = (
            f"{way_for_everybody(keep)}\n"
            f"cd {ROOT}\n"
            f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "
            f"env HOME={home} TMPDIR={home} {sys.executable} -m pytest -q -n0 "
            f"-p no:cacheprovider --basetemp {home}/base tests/{file}"
        )
        ran = subprocess.run(
            ["unshare", "--mount", "bash", "-c", run],
            capture_output=True,
            text=True,
            check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
        )
        assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
        assert "passed" in ran.stdout
        assert "skipped" not in ran.stdout
