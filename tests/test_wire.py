"""What a real client puts on the wire: every call, header and field."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from clients import FAST, guard, rule
from journals import run_program
from liteguard import LiteguardClient, ProtectedContext, __version__
from liteguard.host.statedir import open_state_folder
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "pct-on-the-wire"  # noqa: S105  opens nothing
GUARDS = (
    guard("open.guard", defaultValue=True),
    guard("closed.guard"),
    guard("pro.guard", rules=[rule("plan", "pro")]),
    guard("quiet.guard", defaultValue=True, disableMeasurement=True),
)
CHECK_FIELDS = {
    "guardName",
    "result",
    "properties",
    "timestampMs",
    "signalId",
    "executionId",
    "sequenceNumber",
    "callsiteId",
    "kind",
    "droppedSignalsSinceLast",
    "measurement",
}
Signal = dict[str, Any]


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend that records."""
    with RecordingServer(*GUARDS) as running:
        yield running


@pytest.fixture
def client(server: RecordingServer, state_dir: Path) -> Iterator[LiteguardClient]:
    """Return a running client whose flushes a test makes itself."""
    with made(server, state_dir) as running:
        yield running


def made(server: RecordingServer, state_dir: Path, **options: Any) -> LiteguardClient:
    """Return a client of the recording backend that flushes when it is told to."""
    settings: dict[str, Any] = {
        **FAST,
        "flush_rate_seconds": 60.0,
        "backend_url": server.url + "/",
        "environment": "production",
        "state_dir": str(state_dir),
        **options,
    }
    # Otherwise a new leader flushes at once, in the middle of what a test does.
    open_state_folder(
        str(state_dir),
        token=TOKEN,
        backend_url=server.url,
        environment=settings["environment"],
    ).mark_flush()
    return LiteguardClient(TOKEN, **settings)


def sent(server: RecordingServer, client: LiteguardClient) -> list[Signal]:
    """Flush, and return all signals that have arrived."""
    assert client.flush_signals()
    return server.signals()


def observations(server: RecordingServer) -> list[dict[str, Any]]:
    """Return all observations that have arrived."""
    requests = server.to("unadopted-guards")
    return [entry for request in requests for entry in request.document["observations"]]


# -- the three calls


def test_fetch_is_a_post_with_token_and_environment(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """The first has no etag to send; the client has a bundle from it."""
    assert client.is_open("open.guard")
    first = server.to("guards")[0]
    assert first.document == {
        "projectClientToken": TOKEN,
        "environment": "production",
    }
    assert "if-none-match" not in first.headers


def test_later_fetch_carries_the_etag_of_the_body(
    server: RecordingServer, state_dir: Path
) -> None:
    """A header on a POST, as the published package sends it."""
    with made(server, state_dir):
        until(lambda: len(server.to("guards")) > 1)
    assert server.to("guards")[1].headers["if-none-match"] == "1"


def test_protected_context_is_part_of_its_fetch(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """It is passed through as it is; times that it does not have are left out."""
    whole = ProtectedContext("s-1", {"user": "u"}, issued_at=1, expires_at=2**40)
    client.create_scope().bind_protected_context(whole)
    client.create_scope().bind_protected_context(ProtectedContext("s-2", {}))
    contexts = [
        request.document["protectedContext"]
        for request in server.to("guards")
        if "protectedContext" in request.document
    ]
    assert contexts == [
        {
            "properties": {"user": "u"},
            "signature": "s-1",
            "issuedAt": 1,
            "expiresAt": 2**40,
        },
        {"properties": {}, "signature": "s-2"},
    ]


def test_every_call_says_who_sends_it(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Token, environment, package and process are in the headers of all three."""
    client.is_open("open.guard")
    client.is_open("not.there")
    assert client.flush_signals()
    calls = ("guards", "signals", "unadopted-guards")
    assert {request.path for request in server.requests} == {
        f"/api/v1/{call}" for call in calls
    }
    for request in server.requests:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["x-liteguard-environment"] == "production"
        assert request.headers["user-agent"] == f"liteguard-python/{__version__}"
        assert request.headers["x-liteguard-pid"] == str(os.getpid())
        assert request.document["projectClientToken"] == TOKEN
        assert request.document["environment"] == "production"
    processes = {request.headers["x-liteguard-process"] for request in server.requests}
    assert len(processes) == 1
    assert len(processes.pop()) >= 16


def test_empty_environment_is_in_no_header(
    server: RecordingServer, state_dir: Path
) -> None:
    """In the body it is empty: the token has an environment of its own."""
    with made(server, state_dir, environment="") as client:
        client.is_open("open.guard")
        sent(server, client)
    for request in server.requests:
        assert "x-liteguard-environment" not in request.headers
        assert request.document["environment"] == ""


def test_bodies_hold_nothing_else(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Signals and observations come in one list each."""
    client.is_open("open.guard")
    client.is_open("not.there")
    assert client.flush_signals()
    credentials = {"projectClientToken", "environment"}
    for call, field in (("signals", "signals"), ("unadopted-guards", "observations")):
        for request in server.to(call):
            assert set(request.document) == credentials | {field}


def test_large_bodies_are_compressed_and_small_ones_are_not(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """A backend that reads the header has nothing to guess."""
    client.is_open("open.guard")
    sent(server, client)
    for _ in range(400):
        client.is_open("open.guard")
    assert len(sent(server, client)) == 401
    for request in server.to("signals"):
        is_large = len(request.document["signals"]) > 20
        assert request.headers.get("content-encoding") == ("gzip" if is_large else None)
        assert int(request.headers["content-length"]) < 20_000


@pytest.mark.parametrize("status", [400, 415])
def test_backend_that_knows_no_compression_gets_none(
    server: RecordingServer, client: LiteguardClient, status: int
) -> None:
    """The same batch comes again at once, and later ones are not compressed."""
    server.answer(status)
    for _ in range(3):
        for _ in range(200):
            client.is_open("open.guard")
        assert client.flush_signals()
    encodings = [r.headers.get("content-encoding") for r in server.to("signals")]
    assert encodings.count("gzip") == 1
    assert encodings[-3:] == [None, None, None]
    assert len(set(server.ids())) == len(server.ids()) == 600


# -- checks


def test_check_sends_these_fields(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """No more and no fewer; outside an execution a signal has one of its own."""
    before = int(time.time() * 1000)
    client.is_open("pro.guard", properties={"plan": "pro", "seats": 3, "beta": None})
    client.is_open("closed.guard")
    first, second = sent(server, client)
    assert set(first) == set(second) == CHECK_FIELDS
    assert first["guardName"] == "pro.guard"
    assert (first["result"], second["result"]) == (True, False)
    assert first["properties"] == {"plan": "pro", "seats": 3, "beta": None}
    assert second["properties"] == {}
    assert before <= first["timestampMs"] <= second["timestampMs"]
    assert first["timestampMs"] <= int(time.time() * 1000)
    assert first["kind"] == second["kind"] == "guard_check"
    assert first["sequenceNumber"] == second["sequenceNumber"] == 1
    assert first["executionId"] != second["executionId"]
    assert first["signalId"] != second["signalId"]
    assert first["callsiteId"].startswith(f"{__file__}:")
    assert first["callsiteId"] != second["callsiteId"]
    assert first["droppedSignalsSinceLast"] == 0


def test_scope_and_call_properties_are_sent_as_they_were_evaluated(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Those of the call lie over those of the scope."""
    scope = client.create_scope(plan="free", team="t")
    scope.is_open("pro.guard", properties={"plan": "pro"})
    (signal,) = sent(server, client)
    assert signal["properties"] == {"plan": "pro", "team": "t"}
    assert signal["result"] is True


def test_odd_properties_arrive_as_text(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """No value makes a check raise, or its signal stay behind."""

    class Unspeakable:
        def __str__(self) -> str:
            raise RuntimeError

    odd = {"big": 2**70, "nan": float("nan"), "half": "\ud800", "bad": Unspeakable()}
    client.is_open("open.guard", properties=odd)
    client.is_open("open.guard", properties={"blob": "x" * 10_000_000})
    first, second = sent(server, client)
    assert first["properties"] == {
        "big": str(2**70),
        "nan": None,
        "half": "?",
        "bad": "<Unspeakable>",
    }
    assert second["properties"] == {"blob": "x" * 256}


def test_check_is_measured(server: RecordingServer, client: LiteguardClient) -> None:
    """These three of the protocol's readings are what Python can fill."""
    client.is_open("open.guard")
    (signal,) = sent(server, client)
    (kind,) = signal["measurement"]
    readings = signal["measurement"]["guardCheck"]
    assert kind == "guardCheck"
    assert set(readings) == {"rssBytes", "cpuTimeNs", "gcCount"}
    assert all(isinstance(value, int) for value in readings.values())


@pytest.mark.parametrize(
    ("name", "options", "call"),
    [
        ("open.guard", {"disable_measurement": True}, {}),
        ("quiet.guard", {}, {}),
        ("open.guard", {}, {"disable_measurement": True}),
    ],
)
def test_measurement_can_be_left_out_in_three_places(
    server: RecordingServer,
    state_dir: Path,
    name: str,
    options: dict[str, Any],
    call: dict[str, Any],
) -> None:
    """Client, guard and call each can; then neither check nor execution has it."""
    with made(server, state_dir, **options) as client:
        client.is_open(name, **call)
        client.execute_if_open(name, lambda: None, **call)
        signals = sent(server, client)
    assert len(signals) == 3
    for signal in signals:
        assert set(signal) - {"parentSignalId"} == CHECK_FIELDS - {"measurement"}


# -- executions


def test_guarded_function_sends_check_and_execution(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """The execution follows its check, within one execution id."""
    client.execute_if_open("open.guard", time.process_time, properties={"a": 1})
    check, execution = sent(server, client)
    assert set(check) == CHECK_FIELDS
    assert set(execution) == CHECK_FIELDS | {"parentSignalId"}
    assert execution["kind"] == "guard_execution"
    assert execution["guardName"] == "open.guard"
    assert execution["result"] is True
    assert execution["properties"] == check["properties"] == {"a": 1}
    assert execution["callsiteId"] == check["callsiteId"]
    assert execution["executionId"] == check["executionId"]
    assert execution["parentSignalId"] == check["signalId"]
    assert (check["sequenceNumber"], execution["sequenceNumber"]) == (1, 2)
    measured = execution["measurement"]["guardExecution"]
    assert set(measured) == {
        "durationNs",
        "completed",
        "rssEndBytes",
        "cpuTimeEndNs",
        "gcCountEnd",
    }
    assert measured["completed"] is True
    assert measured["durationNs"] > 0


def test_failed_function_sends_its_error_class(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """The message is not sent: it may hold anything."""

    class SecretError(Exception):
        pass

    def fail() -> None:
        raise SecretError("the secret")

    with pytest.raises(SecretError):
        client.execute_if_open("open.guard", fail)
    _, execution = sent(server, client)
    measured = execution["measurement"]["guardExecution"]
    assert (measured["completed"], measured["errorClass"]) == (False, "SecretError")
    assert "the secret" not in str(server.requests)


def test_checks_within_an_execution_follow_each_other(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Each names the one before; an execution names its own check."""
    with client.start_execution() as handle:
        client.is_open("closed.guard")
        client.execute_if_open("open.guard", lambda: client.is_open("pro.guard"))
        client.is_open("closed.guard")
    first, check, inner, execution, last = sent(server, client)
    signals = (first, check, inner, execution, last)
    assert {signal["executionId"] for signal in signals} == {handle.execution_id}
    assert [signal["sequenceNumber"] for signal in signals] == [1, 2, 3, 4, 5]
    assert "parentSignalId" not in first
    assert check["parentSignalId"] == first["signalId"]
    assert inner["parentSignalId"] == check["signalId"]
    assert execution["parentSignalId"] == check["signalId"]
    assert last["parentSignalId"] == execution["signalId"]


def test_nested_executions_have_ids_and_numbers_of_their_own(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """An inner one that is started does not continue the outer's numbers."""
    with client.start_execution() as outer:
        client.is_open("open.guard")
        with client.start_execution() as inner:
            client.is_open("open.guard")
        with client.execution():
            client.is_open("open.guard")
    signals = sent(server, client)
    assert [signal["executionId"] for signal in signals] == [
        outer.execution_id,
        inner.execution_id,
        outer.execution_id,
    ]
    assert [signal["sequenceNumber"] for signal in signals] == [1, 1, 2]
    assert "parentSignalId" not in signals[1]
    assert signals[2]["parentSignalId"] == signals[0]["signalId"]


def test_coroutine_is_an_execution_while_it_is_awaited(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Checks in two that overlap do not mix; each ends when it was awaited."""

    async def work(seconds: float) -> None:
        client.is_open("pro.guard")
        await asyncio.sleep(seconds)
        client.is_open("closed.guard")

    async def main() -> None:
        runs = [client.execute_if_open("open.guard", lambda: work(0.01)) for _ in "ab"]
        await asyncio.gather(*(run for run in runs if run is not None))

    asyncio.run(main())
    signals = sent(server, client)
    executions = {signal["executionId"] for signal in signals}
    assert len(signals) == 8
    assert len(executions) == 2
    for execution in executions:
        own = [signal for signal in signals if signal["executionId"] == execution]
        check, first, second, end = sorted(own, key=lambda s: int(s["sequenceNumber"]))
        assert [signal["guardName"] for signal in (check, first, second, end)] == [
            "open.guard",
            "pro.guard",
            "closed.guard",
            "open.guard",
        ]
        assert first["parentSignalId"] == check["signalId"]
        assert second["parentSignalId"] == first["signalId"]
        assert end["parentSignalId"] == check["signalId"]
        assert end["measurement"]["guardExecution"]["durationNs"] >= 10_000_000


def test_parent_in_an_earlier_journal_is_named(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """A client that begins anew within an execution begins another journal."""
    with client.start_execution():
        client.is_open("open.guard")
        client.shutdown()
        client.start()
        client.is_open("closed.guard")
    first, second = sent(server, client)
    assert second["parentSignalId"] == first["signalId"]
    assert second["sequenceNumber"] == 2
    assert first["signalId"].partition("-")[0] != second["signalId"].partition("-")[0]


def test_ids_of_two_processes_have_nothing_in_common(
    server: RecordingServer, state_dir: Path
) -> None:
    """Each journal has random bits of its own, so clocks and pids do not matter."""
    program = (
        "from liteguard import LiteguardClient\n"
        "client = LiteguardClient('pct-on-the-wire')\n"
        "client.start()\n"
        "client.is_open('open.guard')\n"
    )
    for _ in range(2):
        ended = run_program(
            program,
            LITEGUARD_BACKEND_URL=server.url,
            LITEGUARD_STATE_DIR=str(state_dir),
        )
        assert ended.returncode == 0, ended.stderr
    first, second = server.ids()
    assert first.partition("-")[0] != second.partition("-")[0]
    assert len(first.partition("-")[0]) == 24


# -- what is not there


def test_unadopted_guard_sends_an_observation_and_no_signal(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """These are its fields."""
    before = int(time.time() * 1000)
    for _ in range(3):
        client.is_open("not.there")
    assert sent(server, client) == []
    found = observations(server)
    assert sum(observation["checkCount"] for observation in found) == 3
    for observation in found:
        assert set(observation) == {
            "guardName",
            "firstSeenMs",
            "lastSeenMs",
            "checkCount",
            "estimatedChecksPerMinute",
        }
        assert observation["guardName"] == "not.there"
        assert before <= observation["firstSeenMs"] <= observation["lastSeenMs"]
        per_minute = 60 * observation["checkCount"]
        assert observation["estimatedChecksPerMinute"] == per_minute


def test_observations_are_of_a_thousand_names_at_most(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """A name made from user input fills neither memory nor the backend."""
    for number in range(1500):
        client.is_open(f"not.there-{number}")
    assert client.flush_signals()
    assert len(observations(server)) >= 1000
    for request in server.to("unadopted-guards"):
        names = [entry["guardName"] for entry in request.document["observations"]]
        assert len(set(names)) == len(names) <= 1000


def test_check_that_is_a_peek_sends_nothing(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Neither signal nor observation."""
    client.peek_is_open("open.guard")
    client.peek_is_open("not.there")
    assert client.flush_signals()
    assert {request.path for request in server.requests} == {"/api/v1/guards"}


def test_dropped_signals_are_told_with_the_next(
    server: RecordingServer, state_dir: Path
) -> None:
    """The number is in the protocol's field, on the first signal that follows."""
    with made(server, state_dir, flush_size=10, flush_buffer_multiplier=1) as client:
        server.may_answer.clear()
        for _ in range(100):
            client.is_open("open.guard")
        server.may_answer.set()
        until(client.flush_signals)
    reports = [signal["droppedSignalsSinceLast"] for signal in server.signals()]
    assert len(reports) + sum(reports) == 100
    assert sum(reports) > 0


def test_token_is_in_header_and_body_alone(
    server: RecordingServer, client: LiteguardClient, state_dir: Path
) -> None:
    """It is in no file, however the journals and the snapshot are looked at."""
    client.is_open("open.guard")
    sent(server, client)
    for path in state_dir.rglob("*"):
        assert TOKEN not in str(path)
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
