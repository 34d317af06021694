"""Each way in which a process ends: what has arrived by then, and what comes later."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, NamedTuple, Optional

import pytest

from recorded import run_to_end, start_program
from recording import RecordingServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECKS = 20
GUARD = {"name": "some.guard", "adopted": True}
MADE = f"""
client.start(strict=True)
for _ in range({CHECKS}):
    client.is_open("some.guard")
"""


class Ending(NamedTuple):
    """One way to end.

    Args:
        code: What the program does after its checks.
        status: What it ends with, as `subprocess` tells it.
        is_orderly: Whether Python runs its exit handlers.
        sent: The signal that it is sent once it waits, if it does.
    """

    code: str
    status: int
    is_orderly: bool
    sent: Optional[signal.Signals] = None


WAITS = "say('waits'); time.sleep(30)"
ENDINGS = {
    "return": Ending("", 0, is_orderly=True),
    "return without a reference to the client": Ending(
        "del client", 0, is_orderly=True
    ),
    "sys.exit": Ending("sys.exit(3)", 3, is_orderly=True),
    "exception": Ending("raise RuntimeError", 1, is_orderly=True),
    "SIGINT": Ending(WAITS, -signal.SIGINT, is_orderly=True, sent=signal.SIGINT),
    "SIGTERM": Ending(WAITS, -signal.SIGTERM, is_orderly=False, sent=signal.SIGTERM),
    "SIGTERM with a handler": Ending(
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(4)); {WAITS}",
        4,
        is_orderly=True,
        sent=signal.SIGTERM,
    ),
    "SIGTERM with a handler that shuts down": Ending(
        "signal.signal(signal.SIGTERM, lambda *_: (client.shutdown(), os._exit(5))); "
        + WAITS,
        5,
        is_orderly=True,
        sent=signal.SIGTERM,
    ),
    "os._exit": Ending("os._exit(6)", 6, is_orderly=False),
    "os.abort": Ending("os.abort()", -signal.SIGABRT, is_orderly=False),
    "exec": Ending(
        "os.execv(sys.executable, [sys.executable, '-c', 'exit(7)'])",
        7,
        is_orderly=False,
    ),
    "SIGKILL": Ending(WAITS, -signal.SIGKILL, is_orderly=False, sent=signal.SIGKILL),
    "end while a thread checks": Ending(
        "threading.Thread(target=lambda: time.sleep(0.2)).start()", 0, is_orderly=True
    ),
}


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with one guard."""
    with RecordingServer(GUARD) as running:
        yield running


@pytest.mark.parametrize("name", ENDINGS)
def test_records_arrive_once_whatever_ends_their_process(
    name: str, server: RecordingServer, tmp_path: Path
) -> None:
    """An orderly end delivers them at once, any other leaves them to the next start."""
    ending = ENDINGS[name]
    with start_program(MADE + ending.code, server, tmp_path) as program:
        if ending.sent is not None:
            assert program.stdout is not None
            assert program.stdout.readline() == "waits\n"
            program.send_signal(ending.sent)
        program.communicate()
    assert program.returncode == ending.status
    assert len(server.ids()) == (CHECKS if ending.is_orderly else 0)
    run_to_end("client.start(strict=True)", server, tmp_path)
    assert len(server.ids()) == len(set(server.ids())) == CHECKS
    assert server.dropped() == 0


def test_end_is_bounded_while_the_backend_hangs(
    server: RecordingServer, tmp_path: Path
) -> None:
    """A deploy does not wait for it, and the next start sends with the same ids."""
    code = MADE + "say('waits'); sys.stdin.readline()"
    with start_program(code, server, tmp_path, HTTP_TIMEOUT_SECONDS="0.5") as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waits\n"
        server.may_answer.clear()
        program.communicate("go on\n", timeout=20)
    assert program.returncode == 0
    server.may_answer.set()
    run_to_end("client.start(strict=True)", server, tmp_path)
    assert len(set(server.ids())) == CHECKS
    assert server.dropped() == 0


def test_losses_are_reported_though_their_process_was_killed(
    server: RecordingServer, tmp_path: Path
) -> None:
    """The account is exact to the unit: what was overwritten is counted on disk."""
    made = 1234
    code = f"""
client.start(strict=True)
for number in range({made}):
    client.is_open("some.guard", properties={{"x": str(number % 400) * 900}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    server.answer(*[503] * 1000)
    small = {"FLUSH_SIZE": "10", "FLUSH_BUFFER_MULTIPLIER": "2"}
    with start_program(code, server, tmp_path, **small) as program:
        program.communicate()
    assert server.ids() == []
    server.accept_again()
    run_to_end("client.start(strict=True)", server, tmp_path)
    assert len(server.ids()) == len(set(server.ids())) < 100
    assert len(server.ids()) + server.dropped() == made
