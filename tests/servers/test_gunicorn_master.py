"""gunicorn's preloading master: nothing of ours there that a fork could copy."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gunicorns import KINDS, NO_THREAD_OF_ITS_OWN, SOON, WORKERS, gunicorn
from serving import is_alive, threads_of
from waiting import until

if TYPE_CHECKING:
    from backends import Backend
    from serving import Server

# Shown, not raised: what a warning raises in the middle of a fork is dropped unseen.
WARNS_OF_THREADS = {"PYTHONWARNINGS": "always:This process:DeprecationWarning"}
WARNING = "is multi-threaded, use of fork()"


def assert_has_nothing_of_ours(master: int, server: Server) -> None:
    """Fail if the master runs a second thread, or has a lock or the file of one."""
    assert threads_of(master) == 1
    links = [link.readlink() for link in Path(f"/proc/{master}/fd").iterdir()]
    opened = {link.name for link in links if server.state_dir in link.parents}
    assert opened <= {"bundle-1.json"}
    locks = Path("/proc/locks").read_text().splitlines()
    assert [line for line in locks if str(master) in line.split()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_master_has_no_thread_and_no_lock_at_any_fork(
    kind: str, backend: Backend, tmp_path: Path
) -> None:
    """Neither at the first forks nor at those of TTIN, of HUP and after a kill."""
    arguments = ["--preload", *NO_THREAD_OF_ITS_OWN, *SOON]
    started = gunicorn(backend, tmp_path, *arguments, kind=kind, **WARNS_OF_THREADS)
    with started as server:
        server.workers(WORKERS)
        assert_has_nothing_of_ours(server.pid, server)
        server.send(signal.SIGTTIN)
        before = server.workers(WORKERS + 1)
        assert_has_nothing_of_ours(server.pid, server)
        server.send(signal.SIGHUP)
        until(lambda: not any(is_alive(pid) for pid in before))
        server.workers(WORKERS)
        assert_has_nothing_of_ours(server.pid, server)
        assert server.leader() != server.pid
        assert WARNING not in server.log()


def test_thread_in_the_master_would_be_seen(backend: Backend, tmp_path: Path) -> None:
    """A thread that somebody leaves there makes interpreters from 3.12 on warn."""
    arguments = ["--preload", "--config", "python:thread_in_master"]
    with gunicorn(backend, tmp_path, *arguments, **WARNS_OF_THREADS) as server:
        server.workers(1)
        assert threads_of(server.pid) > 1
        assert (WARNING in server.log()) == (sys.version_info >= (3, 12))
