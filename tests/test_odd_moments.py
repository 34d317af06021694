"""Starting and ending when something else is under way."""

from __future__ import annotations

import functools
import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from clients import TOKEN
from interrupting import Interruption
from liteguard import LiteguardClient
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUARD = {"name": "open.guard", "adopted": True, "defaultValue": True}


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with one open guard."""
    with RecordingServer(dict(GUARD)) as running:
        yield running


def new_client(
    server: RecordingServer, state_dir: Path, **more: Any
) -> LiteguardClient:
    """Return a client that is not started."""
    place = {"backend_url": server.url, "state_dir": str(state_dir), "proxies": {}}
    return LiteguardClient(TOKEN, **{**place, "reload_rate_seconds": 0.02, **more})


def live(client: LiteguardClient) -> None:
    """Start, check, deliver and shut down."""
    client.start()
    client.is_open("open.guard")
    client.flush_signals()
    client.shutdown()


def test_shutdown_by_a_signal_handler_may_come_at_any_moment(
    server: RecordingServer, state_dir: Path
) -> None:
    """In the middle of start, check, flush and shutdown; the client can start again."""
    first = random.randrange(31)  # noqa: S311  no secret
    for moment in itertools.count(first, 31):
        client = new_client(server, state_dir)
        interruption = Interruption(moment, handle=client.shutdown)
        interruption.run(functools.partial(live, client))
        client.start()
        assert client.is_open("open.guard"), interruption.place
        client.shutdown()
        if not interruption.place:
            break
    assert moment > 300
    assert server.ids()


def test_callback_may_shut_its_client_down(
    server: RecordingServer, state_dir: Path
) -> None:
    """From the refresh thread, which cannot wait for itself; twice is as once."""
    client = new_client(server, state_dir, refresh_rate_seconds=0.05)
    ended = threading.Event()

    def end(_: frozenset[str]) -> None:
        client.shutdown()
        client.shutdown()
        ended.set()

    client.start()
    client.on_change(end)
    server.guards[0]["defaultValue"] = False
    assert ended.wait(20.0)
    until(lambda: client.status().role == "stopped")
    client.shutdown()


def test_client_may_be_started_and_shut_down_by_many_threads(
    server: RecordingServer, state_dir: Path
) -> None:
    """At once and in any order: whoever is last decides, and nothing stays behind."""
    client = new_client(server, state_dir)
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for _ in range(5):
            (client.shutdown if number % 4 == 0 else client.start)()
            client.is_open("open.guard")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40.0)
    assert not any(thread.is_alive() for thread in threads)
    client.start()
    assert client.is_open("open.guard")
    client.shutdown()
