"""What was recorded, counted or on its way at a fork is sent by one process alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clients import guard
from recorded import run_to_end, start_program
from recording import RecordingServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECKS = 5
IN_FLIGHT = f"""
client.start(strict=True)
for _ in range({CHECKS}):
    client.is_open("some.guard")
say("started")
sys.stdin.readline()
threading.Thread(target=client.flush_signals, args=(20,)).start()
sys.stdin.readline()
if os.fork() == 0:
    # Whoever leads now finds the journal sealed by the fork.
    client.is_open("child.guard")
    while client.status().role != "leader":
        time.sleep(0.01)
    client.flush_signals(timeout=0.5)
    os._exit(0)
os.wait()
say("child ended")
sys.stdin.readline()
"""
OBSERVED = f"""
client.start(strict=True)
for _ in range({CHECKS}):
    client.is_open("nobody.adopted")
for _ in range(3):
    if os.fork() == 0:
        client.is_open("nobody.adopted")
        assert client.flush_signals()
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with two guards."""
    guards = [guard("some.guard"), guard("child.guard")]
    with RecordingServer(*guards) as running_server:
        yield running_server


def test_batch_in_flight_at_a_fork_is_not_sent_by_the_child(
    server: RecordingServer, tmp_path: Path
) -> None:
    """The thread that waits for its answer is the parent's, and so is the batch."""
    with start_program(IN_FLIGHT, server, tmp_path) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == "started\n"
        server.may_answer.clear()
        server.asked.clear()
        program.stdin.write("flush\n")
        program.stdin.flush()
        assert server.asked.wait(20)
        program.stdin.write("fork\n")
        program.stdin.flush()
        assert program.stdout.readline() == "child ended\n"
        server.may_answer.set()
        _, complaints = program.communicate("end\n")
    assert program.returncode == 0, complaints
    run_to_end("client.start(strict=True)", server, tmp_path)
    sent = [s["signalId"] for s in server.signals() if s["guardName"] == "some.guard"]
    assert len(sent) == len(set(sent)) == CHECKS
    assert "child.guard" in {signal["guardName"] for signal in server.signals()}
    assert server.dropped() == 0


def test_observations_are_sent_by_the_process_that_made_them(
    server: RecordingServer, tmp_path: Path
) -> None:
    """What the parent has counted is not counted again by each child."""
    run_to_end(OBSERVED, server, tmp_path)
    counts = [
        observation["checkCount"]
        for request in server.to("unadopted-guards")
        for observation in request.document["observations"]
    ]
    assert sorted(counts) == [1, 1, 1, CHECKS]
