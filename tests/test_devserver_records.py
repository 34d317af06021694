"""What the local backend keeps of signals, observations and polls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from wireclient import WireClient, observation, signal

if TYPE_CHECKING:
    from backends import Backend

FULL_SIGNAL = signal(
    "s1",
    "payments.checkout",
    result=False,
    kind="guard_execution",
    properties={"plan": "pro", "age": 7, "ratio": 0.5, "beta": True, "none": None},
    parentSignalId="s0",
    sequenceNumber=2,
    droppedSignalsSinceLast=3,
    measurement={"guardExecution": {"durationNs": 5, "completed": True}},
    rateLimitDecisions=[
        {
            "evaluationTarget": "active",
            "outcome": "limited",
            "requestsPerMinute": 5,
            "countInWindow": 6,
            "partitionProperties": ["plan"],
            "partitionValues": {"plan": "pro"},
        }
    ],
)


@pytest.fixture
def client(backend: Backend) -> WireClient:
    """Return a client of this test's environment."""
    return WireClient(backend)


def test_signal_is_stored_with_every_field(
    backend: Backend, client: WireClient
) -> None:
    """What was sent can be read back, types included."""
    client.send(FULL_SIGNAL)
    (stored,) = backend.signals()
    assert {name: stored[name] for name in FULL_SIGNAL} == FULL_SIGNAL
    assert stored["properties"]["beta"] is True


def test_signal_is_stored_with_its_sender(backend: Backend, client: WireClient) -> None:
    """The headers tell which process of which client sent it."""
    client.send(
        signal("s1"),
        X_Liteguard_Pid="123",
        X_Liteguard_Process="p-1",
        User_Agent="liteguard-python/1",
    )
    (stored,) = backend.signals()
    sender = (stored["pid"], stored["process"], stored["userAgent"])
    assert sender == ("123", "p-1", "liteguard-python/1")


def test_sender_may_stay_unknown(backend: Backend, client: WireClient) -> None:
    """The published package sends no such headers."""
    client.send(signal("s1"))
    (stored,) = backend.signals()
    assert (stored["pid"], stored["process"]) == (None, None)
    assert list(backend.signal_summary()["byPid"]) == [""]


def test_redelivered_signal_is_counted_and_not_stored_again(
    backend: Backend, client: WireClient
) -> None:
    """A second delivery of an id adds no row, changes none and is not forgotten."""
    client.send(signal("s1", result=True), signal("s2"))
    client.send(signal("s1", result=False), X_Liteguard_Pid="9")
    first, second = backend.signals()
    assert (first["signalId"], first["deliveries"]) == ("s1", 2)
    assert (second["signalId"], second["deliveries"]) == ("s2", 1)
    assert (first["result"], first["pid"]) == (True, None)


def test_redelivery_within_one_batch_is_counted(
    backend: Backend, client: WireClient
) -> None:
    """The same id twice in one request is a redelivery as well."""
    client.send(signal("s1"), signal("s1"), signal("s1"))
    summary = backend.signal_summary()
    counted = (summary["total"], summary["distinct"], summary["redelivered"])
    assert counted == (3, 1, 2)


def test_summary_of_nothing_is_zero(backend: Backend) -> None:
    """An environment without signals has a summary."""
    assert backend.signal_summary() == {
        "total": 0,
        "distinct": 0,
        "redelivered": 0,
        "droppedSignals": 0,
        "lastId": 0,
        "byGuard": {},
        "byPid": {},
        "byProcess": {},
    }


def test_summary_counts_by_guard_and_sender(
    backend: Backend, client: WireClient
) -> None:
    """Open and closed checks and executions are told apart, per guard and process."""
    client.send(
        signal("1", "a.guard"),
        signal("2", "a.guard", result=False),
        signal("3", "a.guard", kind="guard_execution"),
        X_Liteguard_Pid="10",
        X_Liteguard_Process="p",
    )
    client.send(signal("4", "b.guard", result=False), X_Liteguard_Pid="11")
    client.send(signal("4", "b.guard"))
    summary = backend.signal_summary()
    several = {"open": 1, "closed": 1, "executions": 1}
    single = {"open": 0, "closed": 1, "executions": 0}
    assert summary["byGuard"] == {"a.guard": several, "b.guard": single}
    assert summary["byPid"] == {"10": several, "11": single}
    assert summary["byProcess"] == {"p": several, "": single}


def test_dropped_signals_are_added_up_once(
    backend: Backend, client: WireClient
) -> None:
    """A redelivered signal does not report its drops twice."""
    client.send(signal("1", droppedSignalsSinceLast=5))
    client.send(signal("1", droppedSignalsSinceLast=5))
    client.send(signal("2", droppedSignalsSinceLast=2))
    assert backend.signal_summary()["droppedSignals"] == 7


def test_signals_are_filtered_by_guard_and_kind(
    backend: Backend, client: WireClient
) -> None:
    """Filters narrow the list down, alone and together."""
    client.send(
        signal("1", "a.guard"),
        signal("2", "b.guard"),
        signal("3", "b.guard", kind="guard_execution"),
    )
    assert [s["signalId"] for s in backend.signals(guard="b.guard")] == ["2", "3"]
    both = backend.signals(guard="b.guard", kind="guard_execution")
    assert [s["signalId"] for s in both] == ["3"]


def test_signals_can_be_followed_as_they_arrive(
    backend: Backend, client: WireClient
) -> None:
    """Asking for ids above the last one seen gives what is new."""
    client.send(signal("1"), signal("2"))
    seen = backend.signal_summary()["lastId"]
    client.send(signal("3"))
    assert [s["signalId"] for s in backend.signals(since=seen)] == ["3"]


def test_list_of_signals_is_bounded(backend: Backend, client: WireClient) -> None:
    """A limit gives the oldest ones; a limit out of bounds is refused."""
    client.send(*(signal(str(number)) for number in range(5)))
    path = f"/manage/v1/environments/{backend.environment}/signals"
    response = backend.request("GET", path, params={"limit": 2})
    assert [s["signalId"] for s in response.json()["signals"]] == ["0", "1"]
    refused = backend.request("GET", path, params={"limit": 0})
    assert refused.status_code == 422
    assert refused.json()["error"]["field"] == "limit"


def test_unknown_fields_of_a_signal_are_ignored(
    backend: Backend, client: WireClient
) -> None:
    """A newer client can talk to an older backend."""
    client.send(signal("1", inventedLater={"x": 1}))
    assert backend.signal_summary()["distinct"] == 1


def test_half_a_surrogate_pair_costs_no_batch(
    backend: Backend, client: WireClient
) -> None:
    """Text that UTF-8 cannot carry is replaced; the signals are kept."""
    response = client.send(signal("1", properties={"name": "x\ud800"}), signal("2"))
    assert response.status_code == 200
    assert [s["properties"] for s in backend.signals()] == [{"name": "x?"}, {}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("signalId", ""),
        ("signalId", None),
        ("guardName", ""),
        ("guardName", 5),
        ("result", "yes"),
        ("timestampMs", -1),
        ("timestampMs", 1.5),
        ("timestampMs", 2**70),
        ("droppedSignalsSinceLast", 2**70),
        ("properties", []),
        ("properties", {"x": float("nan")}),
    ],
)
def test_malformed_signal_is_refused_with_its_batch(
    backend: Backend, client: WireClient, field: str, value: Any
) -> None:
    """The answer names the field, and nothing of the batch is stored."""
    response = client.send(signal("good"), signal("bad", **{field: value}))
    assert response.status_code == 422
    assert response.json()["error"]["field"] == f"signals.1.{field}"
    assert backend.signal_summary()["total"] == 0


def test_observations_are_added_up_by_name(
    backend: Backend, client: WireClient
) -> None:
    """Counts are summed; the times span all reports, in whatever order they come."""
    now = time.time_ns() // 1_000_000
    client.observe(
        observation(
            "new.guard", firstSeenMs=now + 50, lastSeenMs=now + 60, checkCount=3
        ),
        observation("other.guard"),
    )
    client.observe(
        observation(
            "new.guard",
            firstSeenMs=now + 10,
            lastSeenMs=now + 20,
            checkCount=4,
            estimatedChecksPerMinute=7.5,
        )
    )
    client.observe(observation("new.guard", firstSeenMs=now + 30, lastSeenMs=now + 40))
    stored = backend.observations()
    assert list(stored) == ["new.guard", "other.guard"]
    assert stored["new.guard"] == {
        "guardName": "new.guard",
        "firstSeenMs": now + 10,
        "lastSeenMs": now + 60,
        "checkCount": 8,
        "estimatedChecksPerMinute": 60.0,
        "reports": 3,
    }


def test_polls_are_kept_with_status_and_sender(
    backend: Backend, client: WireClient
) -> None:
    """Each fetch that was answered leaves one record."""
    etag = client.fetch(X_Liteguard_Pid="7", X_Liteguard_Process="p").json()["etag"]
    client.fetch(If_None_Match=etag, X_Liteguard_Pid="8")
    first, second = backend.polls()
    assert (first["status"], first["pid"], first["process"]) == (200, "7", "p")
    assert (second["status"], second["pid"], second["process"]) == (304, "8", None)
    assert backend.polls(since=first["id"]) == [second]


def test_polls_are_counted(backend: Backend, client: WireClient) -> None:
    """The summary tells bundles from confirmations, and one process from another."""
    etag = client.fetch(X_Liteguard_Pid="7").json()["etag"]
    client.fetch(If_None_Match=etag, X_Liteguard_Pid="7")
    client.fetch(If_None_Match=etag, X_Liteguard_Process="p")
    assert backend.poll_count() == 3
    assert backend.poll_summary() == {
        "total": 3,
        "fetched": 1,
        "notModified": 2,
        "byPid": {"7": 2, "": 1},
        "byProcess": {"p": 1, "": 2},
    }


def test_refused_fetch_is_no_poll(backend: Backend) -> None:
    """Only fetches with a valid token count."""
    WireClient(backend, "pct-wrong").fetch()
    assert backend.poll_count() == 0


def test_long_headers_are_cut(backend: Backend, client: WireClient) -> None:
    """Nobody fills the database through a header."""
    client.fetch(X_Liteguard_Process="p" * 5000)
    (poll,) = backend.polls()
    assert poll["process"] == "p" * 200
