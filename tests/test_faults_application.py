"""What an application may do to the client: recursion, many scopes, limits, clocks."""

from __future__ import annotations

import contextvars
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from clients import ROOT, TOKEN, guard, offline, rule
from forking import in_child
from liteguard import LiteguardClient
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from liteguard import LiteguardScope

FAST: dict[str, Any] = {
    "refresh_rate_seconds": 0.1,
    "reload_rate_seconds": 0.02,
    "flush_rate_seconds": 0.1,
}


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with an open guard and one that cannot be read."""
    bad = {"name": "bad.guard", "adopted": "perhaps"}
    with RecordingServer(guard("open.guard", defaultValue=True), bad) as running:
        yield running


def options(server: RecordingServer, state_dir: Path) -> dict[str, Any]:
    """Return the options of a client of *server*."""
    place = {"backend_url": server.url, "state_dir": str(state_dir)}
    return {"project_client_token": TOKEN, **place, **FAST}


def test_logging_handler_may_check_a_guard(
    server: RecordingServer, state_dir: Path
) -> None:
    """Also the guard of which the line tells, and while the client starts and ends."""
    answers: list[bool] = []

    class Checks(logging.Handler):
        """Checks guards for each record."""

        def emit(self, record: logging.LogRecord) -> None:
            """Check."""
            odd = {"odd": object(), "line": record.getMessage()}
            for name in ("bad.guard", "open.guard", "unknown.guard"):
                is_open = client.is_open(name, properties=odd)
                answers.append(is_open)

    handler = Checks()
    logger = logging.getLogger("liteguard")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        client = LiteguardClient(**options(server, state_dir))
        with client:
            assert not client.is_open("bad.guard")
            assert client.is_open("open.guard")
            until(lambda: len(answers) >= 3)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_property_whose_text_checks_a_guard_is_a_property(
    server: RecordingServer, state_dir: Path
) -> None:
    """Its own code may come back to the client, once more for each such property."""

    class Asks:
        """Asks the client when it is made a text."""

        def __str__(self) -> str:
            return str(client.is_open("open.guard"))

    with LiteguardClient(**options(server, state_dir)) as client:
        assert client.is_open("open.guard", properties={"p": Asks()})
        until(lambda: len(server.ids()) >= 1)


def test_ten_thousand_scopes_are_their_own() -> None:
    """Each context answers by its own scope, and nothing stays of those that end."""
    client = offline(guard("a.guard", rules=[rule("user", 7777)]))
    contexts = [contextvars.copy_context() for _ in range(10_000)]

    def enter(number: int) -> tuple[LiteguardScope, Any]:
        scope = client.create_scope(user=number)
        binding = client.run_with_scope(scope)
        return binding.__enter__(), binding

    bound = [context.run(enter, n) for n, context in enumerate(contexts)]
    answers = [context.run(client.is_open, "a.guard") for context in contexts]
    assert [n for n, is_open in enumerate(answers) if is_open] == [7777]
    for context, (_, binding) in zip(contexts, bound):
        context.run(binding.__exit__, None, None, None)
    assert not client.get_active_scope().get_properties()


def test_hundreds_of_threads_have_a_scope_each() -> None:
    """What one thread has bound, no other sees."""
    client = offline(guard("a.guard", rules=[rule("user", 1)]))
    answers: dict[int, bool] = {}
    barrier = threading.Barrier(200)

    def work(number: int) -> None:
        with client.run_with_scope(client.create_scope(user=number)):
            barrier.wait()
            answers[number] = client.is_open("a.guard")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n for n, is_open in answers.items() if is_open} == {1}
    assert len(answers) == 200


def test_process_without_descriptors_answers_and_recovers(
    server: RecordingServer, state_dir: Path
) -> None:
    """A server at its limit gets the fallback, and the bundle when it can."""

    def starve() -> list[Any]:
        told: list[str] = []
        lines = logging.Handler()
        lines.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]  # all it is for
        logging.getLogger("liteguard").addHandler(lines)
        logging.getLogger("liteguard").setLevel(logging.INFO)
        client = LiteguardClient(
            **options(server, state_dir), start_timeout_seconds=0.5
        )
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        client.start()
        answers = [client.is_open("open.guard"), client.flush_signals(0.1)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        # Without a folder it stands alone; with descriptors it is served.
        until(lambda: client.is_open("open.guard"))
        client.shutdown()
        return [*answers, *told]

    is_open, _, *told = in_child(starve)
    assert is_open is False
    assert len(told) == len(set(told)) <= 5
    assert "no state folder can be shared" in told[0]
    assert "Too many open files" in told[0]
    assert told[-1] in {
        "liteguard: the backend answers again",
        "liteguard: signals are delivered again",
    }


@pytest.mark.parametrize("jump", [-10 * 365 * 86400.0, 10 * 365 * 86400.0])
def test_wall_clock_may_jump(
    jump: float,
    server: RecordingServer,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ways: bundles still take each other's place, and nobody asks more often."""
    with LiteguardClient(
        **{**options(server, state_dir), "refresh_rate_seconds": 0.5}
    ) as client:
        assert client.is_open("open.guard")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        server.guards[0]["defaultValue"] = False
        asked, began = len(server.to("guards")), time.monotonic()
        until(lambda: not client.is_open("open.guard"))
        until(lambda: len(server.ids()) >= 1)
        # No stampede: at most one poll in nine tenths of an interval.
        polls = len(server.to("guards")) - asked
        assert polls <= (time.monotonic() - began) / 0.45 + 1
        monkeypatch.setattr(time, "time", real)
        server.guards[0]["defaultValue"] = True
        until(lambda: client.is_open("open.guard"))


PATCHED_LATE = """
import os, sys, time
from liteguard import LiteguardClient

client = LiteguardClient()
client.start(strict=True)
assert client.is_open("open.guard")
from gevent import monkey
monkey.patch_all()
import gevent
jobs = [gevent.spawn(client.is_open, "open.guard") for _ in range(20)]
gevent.joinall(jobs)
assert all(job.value for job in jobs)
pid = os.fork()
if pid == 0:
    os._exit(0 if client.is_open("open.guard") else 3)
assert os.waitpid(pid, 0)[1] == 0
assert client.is_open("open.guard")
client.shutdown()
"""

LAST_MOMENT = """
import atexit

def late():
    from liteguard import LiteguardClient
    client = LiteguardClient()
    client.start()
    print(client.is_open("open.guard", fallback=True))
    client.shutdown()

atexit.register(late)
"""


@pytest.mark.parametrize(
    ("code", "printed"), [(PATCHED_LATE, ""), (LAST_MOMENT, "True\n")]
)
def test_program_at_an_odd_moment_ends_well(
    code: str, printed: str, server: RecordingServer, state_dir: Path
) -> None:
    """Patched by gevent after the start; imported and started while Python ends."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "LITEGUARD_TOKEN": TOKEN,
            "LITEGUARD_BACKEND_URL": server.url,
            "LITEGUARD_STATE_DIR": str(state_dir),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, printed), ran.stderr
