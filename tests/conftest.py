"""What every test gets: a clean environment, and a look at what it leaves behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backends import Backend
from devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FAREWELL_SECONDS = 10.0
NUMBERS = itertools.count(1)
# uWSGI 2.0.26, the last to run no threads by itself, has no wheels for newer Pythons.
collect_ignore = [] if sys.version_info < (3, 13) else ["servers/test_uwsgi_old.py"]
if sys.version_info < (3, 10):
    # What is compared has no wheels for Python 3.9, and takes a minute on each other.
    collect_ignore.append("test_pages_commands.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run write what the documentation shows of it."""
    parser.addoption(
        "--write-matrix",
        action="store_true",
        help="write the matrix of servers and modes anew; with -n0 -p no:randomly",
    )


def own_threads() -> set[threading.Thread]:
    """Return the living threads that the package started."""
    return {
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("liteguard-")
    }


def child_processes() -> set[int]:
    """Return the pids of this process's living children, where the kernel tells."""
    children: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            children.update(int(pid) for pid in listing.read_text().split())
    return {pid for pid in children if _is_worth_naming(pid)}


def _is_worth_naming(pid: int) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        state = process.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        command = process.joinpath("cmdline").read_bytes()
    except OSError:
        return False
    # multiprocessing's helpers stay by design. In the middle of an exec a process has
    # no command line, as a zombie has none.
    return state not in "ZX" and b"multiprocessing." not in command


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove every variable that would configure a client."""
    for name in list(os.environ):
        if name.startswith("LITEGUARD_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """Fail a test that leaves threads of the package or child processes alive."""
    threads, children = own_threads(), child_processes()
    yield
    deadline = time.monotonic() + LONGEST_FAREWELL_SECONDS
    for thread in own_threads() - threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert {thread.name for thread in own_threads() - threads} == set()
    assert child_processes() - children == set()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """Return a folder that processes of one test share and no other test sees."""
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(scope="session")
def devserver() -> Iterator[DevServer]:
    """Run one local backend for the whole session."""
    with DevServer() as running:
        yield running


@pytest.fixture
def backend(devserver: DevServer) -> Backend:
    """Return an environment of the local backend that no other test uses."""
    return Backend(devserver, f"test-{next(NUMBERS)}")


@pytest.fixture
def open_guard(backend: Backend) -> Backend:
    """Return the backend with one guard, which is open."""
    backend.create_guard("open.guard", default_value=True)
    return backend


@pytest.fixture
def common() -> Iterator[Path]:
    """Return a temporary folder for all users, below folders that all can enter."""
    # Not below pytest's own, which it closes to others.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder


@pytest.fixture
def _threads_take_turns_all_the_time() -> Iterator[None]:
    """Switch threads as often as the interpreter can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package as it is published and return the file."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def package() -> Path:
    """Return the folder that holds the package's source."""
    return ROOT / "liteguard"
