"""What the local backend counts of signals, and what it tells of processes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from clients import FAST
from liteguard import LiteguardClient
from waiting import until
from wireclient import WireClient, observation, signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend

MINUTE_MS = 60_000
PROCESSES = 50
PATIENT = {**FAST, "http_timeout_seconds": 60, "start_timeout_seconds": 60}


def read(backend: Backend, rest: str) -> Any:
    """Return what the management API tells of this test's environment."""
    return backend.manage("GET", f"environments/{backend.environment}/{rest}")


def now_ms(backend: Backend) -> int:
    """Return the time as the backend has it."""
    return int(read(backend, "overview")["nowMs"])


@pytest.fixture
def client(backend: Backend) -> WireClient:
    """Return a client of this test's environment."""
    return WireClient(backend)


def executed(signal_id: str, **measured: Any) -> dict[str, Any]:
    """Return the signal of an execution."""
    measurement = {"guardExecution": measured}
    return signal(
        signal_id, kind="guard_execution", measurement=measurement, timestampMs=2**53
    )


def test_checks_and_executions_are_counted_by_minute(
    backend: Backend, client: WireClient
) -> None:
    """Answers, errors, durations and dropped signals go to the minute they are of."""
    now = now_ms(backend)
    client.send(
        signal("s1", timestampMs=now - 3 * MINUTE_MS),
        signal("s2", timestampMs=now - 3 * MINUTE_MS, result=False),
        signal("s3", timestampMs=now - MINUTE_MS, droppedSignalsSinceLast=4),
        executed("s4", durationNs=500),
        executed("s5", durationNs=700, errorClass="KeyError"),
    )
    activity = read(backend, "activity?minutes=60")
    by_age = {
        activity["nowMs"] // MINUTE_MS - minute["startMs"] // MINUTE_MS: minute
        for minute in activity["minutes"]
    }
    assert len(by_age) == 3
    oldest, middle, newest = (by_age[age] for age in sorted(by_age, reverse=True))
    assert (oldest["open"], oldest["closed"]) == (1, 1)
    assert (middle["open"], middle["dropped"]) == (1, 4)
    assert (newest["executions"], newest["failures"], newest["durationNs"]) == (
        2,
        1,
        1200,
    )
    assert activity["total"]["open"] == 2


def test_signal_that_comes_again_is_not_counted_again(
    backend: Backend, client: WireClient
) -> None:
    """Deliveries that are repeated change no count, in one batch or in several."""
    check = signal("s1", timestampMs=now_ms(backend))
    client.send(check, check)
    client.send(check)
    activity = read(backend, "activity")
    assert activity["total"]["open"] == 1
    assert [site["open"] for site in activity["callSites"]] == [1]


def test_activity_can_be_narrowed_to_a_guard_and_a_span(
    backend: Backend, client: WireClient
) -> None:
    """Other guards and older minutes are left out."""
    now = now_ms(backend)
    client.send(
        signal("s1", "one", timestampMs=now),
        signal("s2", "one", timestampMs=now - 30 * MINUTE_MS),
        signal("s3", "two", timestampMs=now),
    )
    activity = read(backend, "activity?guard=one&minutes=10")
    assert activity["total"]["open"] == 1
    assert [guard["guardName"] for guard in activity["guards"]] == ["one"]
    assert {site["guardName"] for site in activity["callSites"]} == {"one"}
    assert read(backend, "activity?minutes=60")["total"]["open"] == 3


@pytest.mark.parametrize(
    "measured",
    [
        {"durationNs": "long"},
        {"durationNs": True},
        {"errorClass": 5},
        {"durationNs": -1},
    ],
)
def test_measurements_of_another_form_count_as_absent(
    backend: Backend, client: WireClient, measured: dict[str, Any]
) -> None:
    """What clients send freely cannot upset the counts."""
    client.send(executed("s1", **measured))
    total = read(backend, "activity")["total"]
    assert (total["executions"], total["durationNs"], total["failures"]) == (1, 0, 0)


@pytest.mark.parametrize("duration", [2**70, 1e300])
def test_endless_durations_are_cut(
    backend: Backend, client: WireClient, duration: float
) -> None:
    """Sums stay within what the database and every reader keep exact."""
    client.send(executed("s1", durationNs=duration), executed("s2", durationNs=1))
    assert read(backend, "activity")["total"]["durationNs"] == 2**53 + 1


def test_limits_that_decided_are_counted(backend: Backend, client: WireClient) -> None:
    """Limits in force and on trial are told apart, and their signals can be listed."""
    decisions = [
        [{"outcome": "limited"}],
        [{"outcome": "within_limit"}, {"outcome": "would_limit"}],
        [{"outcome": ["limited"]}],
        None,
    ]
    now = now_ms(backend)
    client.send(
        *(
            signal(f"s{n}", timestampMs=now, rateLimitDecisions=made)
            for n, made in enumerate(decisions)
        )
    )
    total = read(backend, "activity")["total"]
    assert (total["limited"], total["wouldLimit"]) == (1, 1)
    listed = read(backend, "signals?rate_limited=true&newest_first=true")["signals"]
    assert [one["signalId"] for one in listed] == ["s2", "s1", "s0"]


def test_newest_signals_can_be_listed_backwards(
    backend: Backend, client: WireClient
) -> None:
    """Page by page, from the newest to the oldest."""
    client.send(*(signal(f"s{n}") for n in range(5)))
    first = read(backend, "signals?newest_first=true&limit=2")["signals"]
    before = first[-1]["id"]
    rest = read(backend, f"signals?newest_first=true&before={before}")["signals"]
    listed = [one["signalId"] for one in [*first, *rest]]
    assert listed == ["s4", "s3", "s2", "s1", "s0"]


def test_overview_leaves_out_what_is_adopted(
    backend: Backend, client: WireClient
) -> None:
    """A guard is in one of the two lists, whether it was observed or not."""
    client.observe(observation("seen"), observation("taken"))
    backend.adopt_guard("taken")
    backend.create_guard("planned", adopted=False)
    overview = read(backend, "overview")
    assert [line["name"] for line in overview["guards"]] == ["taken"]
    assert [line["name"] for line in overview["unadopted"]] == ["planned", "seen"]


def test_processes_are_told_with_what_they_did(
    backend: Backend, client: WireClient
) -> None:
    """Polls and signals are counted for each; who tells nothing of itself is not."""
    one = {"X_Liteguard_Pid": "1", "X_Liteguard_Process": "one"}
    two = {"X_Liteguard_Pid": "2", "X_Liteguard_Process": "two"}
    client.fetch(**one)
    client.send(signal("s1"), signal("s2"), **two)
    client.fetch(**one)
    client.fetch()
    listed = read(backend, "processes")
    assert listed["total"] == 2
    last, first = listed["processes"]
    assert (last["pid"], last["polls"], last["signals"]) == ("1", 2, 0)
    assert (first["pid"], first["polls"], first["signals"]) == ("2", 0, 2)
    assert first["lastPollMs"] is None
    assert last["lastPollMs"] == last["lastSeenMs"] >= last["firstSeenMs"]
    assert {one["address"] for one in listed["processes"]} == {"127.0.0.1"}


def test_news_are_told_as_they_happen(backend: Backend) -> None:
    """Whatever changes a part of the data, followers of the stream hear of it."""
    client = WireClient(backend)
    response = backend.request("GET", "/manage/v1/events", stream=True)
    lines = response.iter_lines(chunk_size=1, decode_unicode=True)
    heard: set[str] = set()

    def hear(topic: str, action: Any) -> None:
        assert next(lines) is not None
        action()
        for line in lines:
            heard.update(topic for topic in TOPICS if f'"{topic}"' in line)
            if topic in heard:
                return

    hear("guards", lambda: backend.create_guard("a.guard"))
    hear("signals", lambda: client.send(signal("s1")))
    hear("observations", lambda: client.observe(observation("new.guard")))
    hear("polls", client.fetch)
    hear("tokens", lambda: backend.create_token(backend.environment))
    hear("environments", lambda: backend.set_refresh_rate(5))
    response.close()


TOPICS = ["environments", "guards", "observations", "polls", "signals", "tokens"]


def check_and_leave(backend: Backend, folder: Path, checks: int) -> None:
    """Be one process of many: check, deliver, end."""
    folder.mkdir(mode=0o700)
    client = LiteguardClient(**backend.options(folder, **PATIENT))
    client.start(strict=True)
    for _ in range(checks):
        client.is_open("a.guard")
    client.flush_signals(timeout=PATIENT["start_timeout_seconds"])
    client.shutdown()
    os._exit(0)


def forked(backend: Backend, tmp_path: Path) -> Iterator[int]:
    """Start many processes at once, each as if it were alone on its host."""
    for number in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            try:
                check_and_leave(backend, tmp_path / f"host-{number}", checks=20)
            finally:
                os._exit(1)
        yield pid


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.timeout(180)
def test_fifty_processes_at_once_are_all_served(
    backend: Backend, tmp_path: Path
) -> None:
    """Each gets its guards and delivers every signal, and each is listed."""
    backend.create_guard("a.guard", default_value=True)
    pids = list(forked(backend, tmp_path))
    statuses = {os.waitpid(pid, 0)[1] for pid in pids}
    assert statuses == {0}
    until(lambda: read(backend, "processes")["total"] == PROCESSES)
    total = read(backend, "activity")["total"]
    assert (total["open"], total["closed"]) == (PROCESSES * 20, 0)
    assert backend.signal_summary()["distinct"] == PROCESSES * 20
    polled = {
        one["pid"] for one in read(backend, "processes")["processes"] if one["polls"]
    }
    assert polled == {str(pid) for pid in pids}
