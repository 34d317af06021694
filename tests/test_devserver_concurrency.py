"""The local backend under requests that come at once."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import requests

from devserver import DevServer
from waiting import until
from wireclient import WireClient, observation, signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backends import Backend

THREADS = 8
ROUNDS = 25


def at_once(action: Callable[[int, int], object]) -> None:
    """Call ``action(thread, round)`` for each round in each of several threads."""

    def run(thread: int) -> None:
        for number in range(ROUNDS):
            action(thread, number)

    with ThreadPoolExecutor(THREADS) as pool:
        for finished in [pool.submit(run, thread) for thread in range(THREADS)]:
            finished.result()


def test_guards_and_signals_written_at_once_are_all_there(backend: Backend) -> None:
    """Eight threads create guards and send signals; nothing gets lost."""
    client = WireClient(backend)

    def write(thread: int, number: int) -> None:
        backend.create_guard(f"guard.{thread}.{number}")
        assert client.send(signal(f"{thread}-{number}")).status_code == 200

    at_once(write)
    expected = {(t, n) for t in range(THREADS) for n in range(ROUNDS)}
    assert {g["name"] for g in backend.guards()} == {
        f"guard.{thread}.{number}" for thread, number in expected
    }
    assert {s["signalId"] for s in backend.signals()} == {
        f"{thread}-{number}" for thread, number in expected
    }
    assert len(client.fetch().json()["guards"]) == THREADS * ROUNDS


def test_same_signals_sent_at_once_are_stored_once(backend: Backend) -> None:
    """Every delivery is counted, whoever comes first."""
    client = WireClient(backend)
    at_once(lambda _, number: client.send(signal(str(number))))
    summary = backend.signal_summary()
    assert summary["distinct"] == ROUNDS
    assert summary["total"] == THREADS * ROUNDS
    assert {s["deliveries"] for s in backend.signals()} == {THREADS}


def test_observations_sent_at_once_are_all_counted(backend: Backend) -> None:
    """Sums are not computed from stale values."""
    client = WireClient(backend)
    at_once(lambda *_: client.observe(observation("new.guard", checkCount=2)))
    assert backend.observations()["new.guard"]["checkCount"] == 2 * THREADS * ROUNDS


def test_changes_of_different_fields_at_once_are_all_kept(backend: Backend) -> None:
    """Two writers of one guard do not undo each other."""
    backend.create_guard("a.guard")
    changes: list[dict[str, Any]] = [
        {"defaultValue": True},
        {"disableMeasurement": True},
        {"adopted": False},
        {"rateLimit": {"requestsPerMinute": 5}},
    ]
    at_once(
        lambda thread, _: backend.update_guard(
            "a.guard", **changes[thread % len(changes)]
        )
    )
    (guard,) = backend.guards()
    assert (guard["defaultValue"], guard["disableMeasurement"]) == (True, True)
    assert guard["adopted"] is False
    assert guard["rateLimit"]["requestsPerMinute"] == 5


def test_one_name_created_at_once_is_created_once(backend: Backend) -> None:
    """One thread wins, the others are told."""

    def create(_: int) -> int:
        path = f"/manage/v1/environments/{backend.environment}/guards"
        return backend.request("POST", path, json={"name": "a.guard"}).status_code

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = sorted(pool.map(create, range(THREADS)))
    assert statuses == [201] + [409] * (THREADS - 1)


def test_polls_made_at_once_are_all_counted(backend: Backend) -> None:
    """Each fetch leaves its record."""
    client = WireClient(backend)
    at_once(lambda thread, _: client.fetch(X_Liteguard_Pid=str(thread)))
    summary = backend.poll_summary()
    assert summary["total"] == THREADS * ROUNDS
    assert summary["byPid"] == {str(thread): ROUNDS for thread in range(THREADS)}


def test_kill_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Every signal that was answered with success is there and counted afterwards."""
    acknowledged: set[str] = set()
    killed = Event()

    def send(client: WireClient, thread: int) -> None:
        for number in itertools.count():
            mark = f"{thread}-{number}"
            now_ms = int(time.time() * 1000)
            try:
                accepted = client.send(signal(mark, timestampMs=now_ms)).ok
            except requests.ConnectionError:
                assert killed.wait(10)
                return
            if accepted:
                acknowledged.add(mark)

    with DevServer(tmp_path) as server, ThreadPoolExecutor(THREADS) as pool:
        client = WireClient(server)
        running = [pool.submit(send, client, thread) for thread in range(THREADS)]
        until(lambda: len(acknowledged) > 3 * THREADS)
        killed.set()
        server.kill()
        for finished in running:
            finished.result()
        server.start()
        kept = {stored["signalId"] for stored in server.signals()}
        assert acknowledged <= kept
        sites = server.manage("GET", "environments/default/activity")["callSites"]
        assert [site["open"] for site in sites] == [len(kept)]
