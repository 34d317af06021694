"""An application that uses filelock itself, of any age, beside the client.

The package locks by `flock` alone: see "filelock" in the documentation of forks.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from clients import program
from packages import installed

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

RELEASES = {
    "oldest": "filelock==3.12.0",
    "newest for Python 3.9": "filelock==3.19.1",
    "newest": "filelock",
}
IMPORTED_FIRST = """
import os, sys
sys.path.insert(0, sys.argv[1])
import filelock
from liteguard import LiteguardClient
"""
IMPORTED_LATER = """
import os, sys
from liteguard import LiteguardClient
LiteguardClient("pct-unused")
sys.path.insert(0, sys.argv[1])
import filelock
"""
WORK = """
own = filelock.FileLock(sys.argv[2])
client = LiteguardClient()
client.start()
with own:
    assert client.is_open("open.guard")
    child = os.fork()
    assert client.is_open("open.guard")
    if not child:
        client.shutdown(10)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert own.is_locked
client.shutdown(10)
"""


@pytest.mark.parametrize("imports", [IMPORTED_FIRST, IMPORTED_LATER])
@pytest.mark.parametrize("release", RELEASES)
def test_client_works_beside_filelock(
    release: str, imports: str, backend: Backend, state_dir: Path, tmp_path: Path
) -> None:
    """Parent and child answer and deliver, and the application's lock stays its own."""
    requirement = RELEASES[release]
    python = "{}.{}".format(*sys.version_info)
    name = f".venv-{requirement.replace('==', '-')}-for-{python}"
    folder = installed(requirement, name)
    backend.create_guard("open.guard", default_value=True)
    arguments = [str(folder), str(tmp_path / "own.lock")]
    with program(imports + WORK, backend, state_dir, *arguments) as process:
        _, complaints = process.communicate(timeout=50)
    assert complaints == ""
    assert backend.signal_summary()["distinct"] == 3
