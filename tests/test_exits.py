"""Ends of processes in which no inherited atexit handler runs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clients import ROOT, TOKEN
from recording import RecordingServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECKS = 5
# The program itself stays, leads, and would deliver for its child within an hour.
PROGRAM = f"""
import os, sys, threading
from liteguard import LiteguardClient

client = LiteguardClient(flush_rate_seconds=3600)

def work():
    if client.status().role == "stopped":
        client.start()
    for _ in range({CHECKS}):
        client.is_open("some.guard")

def tell(status):
    print(status, flush=True)
    sys.stdin.read()
"""
MULTIPROCESSING = """
if __name__ == "__main__":
    client.start()
    import multiprocessing
    child = multiprocessing.get_context("{method}").Process(target=work)
    child.start()
    child.join()
    tell(child.exitcode)
"""
CELERY_BEFORE_START = """
from celery.signals import worker_process_shutdown
client.start()
"""
CELERY_AFTER_START = """
client.start()
from celery.signals import worker_process_shutdown
for _ in range(1000):
    if not worker_process_shutdown.receivers:
        threading.Event().wait(0.01)
"""
CELERY_CHILD = """
if os.fork() == 0:
    work()
    worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
    os._exit(0)
tell(os.wait()[1])
"""
CELERY_HELD_UP = """
print("started", flush=True)
sys.stdin.readline()
work()
worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
print(client.status().buffered, flush=True)
os._exit(0)
"""


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with one guard."""
    with RecordingServer({"name": "some.guard", "adopted": True}) as running:
        yield running


def run(
    code: str, server: RecordingServer, folder: Path, **seconds: str
) -> subprocess.Popen[str]:
    """Run *code* as a program, in which every warning is an error."""
    path = folder / "program.py"
    path.write_text(PROGRAM + code)
    rates = {"RELOAD_RATE": "0.05", "HTTP_TIMEOUT": "60", **seconds}
    variables = {
        **{f"LITEGUARD_{name}_SECONDS": rate for name, rate in rates.items()},
        "LITEGUARD_TOKEN": TOKEN,
        "LITEGUARD_BACKEND_URL": server.url,
        "LITEGUARD_STATE_DIR": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(path)],
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def delivered_at_exit(code: str, server: RecordingServer, folder: Path) -> int:
    """Run *code* until its child has ended; return what the backend has by then."""
    with run(code, server, folder) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "0\n"
        delivered = len(set(server.ids()))
        program.kill()
    return delivered


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_child_of_multiprocessing_delivers_at_its_end(
    method: str, server: RecordingServer, tmp_path: Path
) -> None:
    """It delivers also where multiprocessing was imported after the client started."""
    code = MULTIPROCESSING.format(method=method)
    assert delivered_at_exit(code, server, tmp_path) == CHECKS


@pytest.mark.parametrize(
    "importing",
    [CELERY_BEFORE_START, CELERY_AFTER_START],
    ids=["celery first", "client first"],
)
def test_child_of_celery_delivers_at_its_end(
    importing: str, server: RecordingServer, tmp_path: Path
) -> None:
    """It delivers also where celery was imported after the client started."""
    code = importing + CELERY_CHILD
    assert delivered_at_exit(code, server, tmp_path) == CHECKS


def test_child_of_celery_does_not_wait_for_a_slow_backend(
    server: RecordingServer, tmp_path: Path
) -> None:
    """It ends without an answer, since celery kills what takes long."""
    code = CELERY_BEFORE_START + CELERY_HELD_UP
    with run(code, server, tmp_path) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "started\n"
        server.may_answer.clear()
        undelivered = program.communicate("go on\n")[0]
        server.may_answer.set()
    assert undelivered == f"{CHECKS}\n"


def test_celery_is_joined_before_start_returns(
    server: RecordingServer, tmp_path: Path
) -> None:
    """A fork that follows at once finds it done, even if no bundle came."""
    server.may_answer.clear()
    code = CELERY_BEFORE_START + "print(len(worker_process_shutdown.receivers))"
    with run(code, server, tmp_path, START_TIMEOUT="0.1") as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "1\n"
        program.kill()


def test_client_imports_neither(server: RecordingServer, tmp_path: Path) -> None:
    """A started client has loaded neither celery nor multiprocessing."""
    code = 'client.start(); print({"celery", "multiprocessing"} & set(sys.modules))'
    with run(code, server, tmp_path) as program:
        assert program.communicate()[0] == "set()\n"
