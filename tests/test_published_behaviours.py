"""What the published package's own tests expect of it, one by one, of this package.

Each test is called after the published one whose subject it has; the table in
``docs/migrating.md`` says of each whether the answer is the same.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clients import FAST, TOKEN, guard, offline, rule
from liteguard import (
    ClientOptions,
    ConfigurationError,
    LiteguardClient,
    Options,
    ProtectedContext,
)
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATING = Path(__file__).parent.parent / "docs" / "migrating.md"
PRO, FREE = Options(properties={"plan": "pro"}), Options(properties={"plan": "free"})
OPEN = guard("open.guard", defaultValue=True)
ALICE = ProtectedContext(signature="s-1", properties={"email": "alice@example.org"})


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with two guards, one of them closed."""
    with RecordingServer(OPEN, guard("closed.guard"), guard("b.guard")) as running:
        running.guards[2]["defaultValue"] = True
        yield running


@pytest.fixture
def client(server: RecordingServer, state_dir: Path) -> Iterator[LiteguardClient]:
    """Run a client of it."""
    with made(server, state_dir) as running:
        yield running


def made(server: RecordingServer, state_dir: Path, **more: Any) -> LiteguardClient:
    """Return a client of the backend, with an options object as users have one."""
    settings: dict[str, Any] = {**FAST, "flush_rate_seconds": 60.0, **more}
    options = ClientOptions(
        backend_url=server.url,
        environment="production",
        state_dir=str(state_dir),
        **settings,
    )
    return LiteguardClient(TOKEN, options)


def sent(server: RecordingServer, client: LiteguardClient) -> list[dict[str, Any]]:
    """Flush, and return all signals."""
    assert client.flush_signals()
    return server.signals()


def with_rule(operator: str, *values: Any, name: str = "p", **more: Any) -> Any:
    """Return a function that tells the answer for a value of one property."""
    one = {"propertyName": name, "operator": operator, "values": values, "result": True}
    client = offline(guard("a.guard", rules=[{**one, **more}]))

    def answer(*found: Any) -> bool:
        return client.is_open("a.guard", Options(properties=dict(zip([name], found))))

    return answer


def limited(per_minute: int, *names: str, **more: Any) -> LiteguardClient:
    """Return a client of one open guard with a limit."""
    limit = {"requestsPerMinute": per_minute, "partitionProperties": names}
    return offline(guard("a.guard", defaultValue=True, rateLimit=limit, **more))


def answers(client: LiteguardClient, tries: int, **properties: Any) -> list[bool]:
    """Return what so many checks answer."""
    options = Options(properties=properties)
    return [client.is_open("a.guard", options) for _ in range(tries)]


# -- rules


@pytest.mark.parametrize("default", [True, False])
def test_returns_default_when_no_rules(*, default: bool) -> None:
    """The guard's own answer."""
    client = offline(guard("a.guard", defaultValue=default))
    assert client.is_open("a.guard") is default


@pytest.mark.parametrize(
    ("operator", "values", "opens", "closes"),
    [
        pytest.param("EQUALS", ["pro"], "pro", "free", id="equals_match"),
        pytest.param("NOT_EQUALS", ["free"], "pro", "free", id="not_equals"),
        pytest.param("IN", ["a", "b"], "a", "c", id="in"),
        pytest.param("NOT_IN", ["x"], "a", "x", id="not_in"),
        pytest.param("REGEX", [r"@acme\.com$"], "a@acme.com", "a@b.com", id="regex"),
        pytest.param("GT", [50], 51, 50, id="numeric_operators"),
        pytest.param("GTE", [50], 50, 49, id="numeric_operators"),
        pytest.param("LT", [50], 49, 50, id="numeric_operators"),
        pytest.param("LTE", [50], 50, 51, id="numeric_operators"),
    ],
)
def test_operators(operator: str, values: list[Any], opens: Any, closes: Any) -> None:
    """Each operator matches what it should, and not its opposite."""
    answer = with_rule(operator, *values)
    assert (answer(opens), answer(closes)) == (True, False)


def test_disabled_rule_is_skipped() -> None:
    """It matches nothing."""
    assert not with_rule("EQUALS", "pro", enabled=False)("pro")


def test_invalid_regex_fails_closed() -> None:
    """A broken expression matches nothing."""
    assert not with_rule("REGEX", "[broken")("anything")


@pytest.mark.parametrize("operator", ["EQUALS", "NOT_IN", "GT", "REGEX"])
def test_rules_without_comparison_values_fail_closed(operator: str) -> None:
    """A rule with nothing to compare with matches nothing."""
    assert not with_rule(operator)("x")


@pytest.mark.parametrize(
    ("operator", "value", "found", "expected"),
    [
        ("EQUALS", "1", 1, False),
        ("GT", "50", 75, False),
        ("EQUALS", True, 1, False),
        ("EQUALS", True, True, True),
    ],
)
def test_strict_type_aware_comparisons(
    operator: str, value: Any, found: Any, *, expected: bool
) -> None:
    """Text, numbers and truth are never the same."""
    assert with_rule(operator, value)(found) is expected


def test_first_match_wins() -> None:
    """Later rules are not asked."""
    rules = [rule("plan", "pro"), rule("plan", "pro", result=False)]
    assert offline(guard("a.guard", rules=rules)).is_open("a.guard", PRO)


def test_missing_property_does_not_match() -> None:
    """What is not there equals nothing."""
    assert not with_rule("EQUALS", "pro")()


# -- answers


def test_unadopted_guard_is_always_open() -> None:
    """Here it is closed, unless the option says otherwise."""
    unadopted = {"name": "a.guard", "adopted": False, "defaultValue": True}
    assert not offline(unadopted).is_open("a.guard")
    assert offline(unadopted, unadopted_open=True).is_open("a.guard")


def test_unknown_guard_is_always_open() -> None:
    """Here it is closed, unless the option says otherwise."""
    assert not offline().is_open("unknown.guard")
    assert offline(unadopted_open=True).is_open("unknown.guard")


def test_unadopted_guard_is_reported_once(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Two checks are one observation, of two."""
    for _ in range(2):
        client.is_open("new.guard")
    sent(server, client)
    (request,) = server.to("unadopted-guards")
    (found,) = request.document["observations"]
    assert (found["guardName"], found["checkCount"]) == ("new.guard", 2)
    fields = {"firstSeenMs", "lastSeenMs", "estimatedChecksPerMinute"}
    assert fields < set(found)


def test_fallback_is_used_before_initial_load() -> None:
    """The client's, unless the check brings its own."""
    client = LiteguardClient(TOKEN, ClientOptions())
    assert not client.is_open("a.guard")
    assert client.is_open("a.guard", Options(fallback=True))


@pytest.mark.parametrize(
    "option", ["refresh_rate_seconds", "flush_rate_seconds", "flush_size"]
)
@pytest.mark.parametrize("value", [0, -1])
def test_nonpositive_options_fall_back_to_defaults(option: str, value: int) -> None:
    """Here they are refused, by name, when the client is made."""
    options: dict[str, Any] = {option: value}
    with pytest.raises(ConfigurationError, match=option):
        LiteguardClient(TOKEN, ClientOptions(**options))


# -- scopes


def test_evaluated_result_from_rules() -> None:
    """A scope's properties decide."""
    client = offline(guard("a.guard", rules=[rule("plan", "pro")]))
    found = [client.create_scope({"plan": plan}) for plan in ("pro", "free")]
    assert [scope.is_open("a.guard") for scope in found] == [True, False]


def test_per_call_properties_override_context() -> None:
    """For one check, and not for the next."""
    client = offline(guard("a.guard", rules=[rule("plan", "pro")]))
    scope = client.create_scope({"plan": "free"})
    assert [scope.is_open("a.guard", PRO), scope.is_open("a.guard")] == [True, False]


def test_explicit_scope_evaluates_with_request_local_properties() -> None:
    """Checks of a scope leave the active one alone."""
    client = offline(guard("a.guard", rules=[rule("plan", "pro")]))
    assert client.create_scope({"plan": "pro"}).is_open("a.guard")
    assert client.get_active_scope().get_properties() == {}


def test_contextvars_isolate_overlapping_async_request_scopes() -> None:
    """Two requests that overlap see their own properties."""
    client = offline(guard("a.guard", rules=[rule("plan", "pro")]))

    async def request(plan: str) -> bool:
        async def check() -> bool:
            await asyncio.sleep(0)
            return client.is_open("a.guard")

        return await client.run_with_scope(client.create_scope({"plan": plan}), check)

    async def main() -> list[bool]:
        return list(await asyncio.gather(request("free"), request("pro")))

    assert asyncio.run(main()) == [False, True]
    assert client.get_active_scope().get_properties() == {}


def test_add_properties_merges() -> None:
    """What is added later wins."""
    scope = offline().create_scope({"a": "1", "b": "2"})
    merged = scope.add_properties({"b": "3", "c": "4"})
    assert merged.get_properties() == {"a": "1", "b": "3", "c": "4"}


def test_clear_properties() -> None:
    """By name."""
    scope = offline().create_scope({"a": "1", "b": "2", "c": "3"})
    assert scope.clear_properties(["a", "c"]).get_properties() == {"b": "2"}


def test_reset_properties() -> None:
    """None are left."""
    scope = offline().create_scope({"a": "1"})
    assert scope.reset_properties().get_properties() == {}


# -- protected contexts


def test_bind_protected_context_refetches_with_post_body(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """The context is part of the request, as it was given."""
    client.create_scope().bind_protected_context(ALICE)
    assert server.to("guards")[-1].document == {
        "projectClientToken": TOKEN,
        "environment": "production",
        "protectedContext": {
            "properties": {"email": "alice@example.org"},
            "signature": "s-1",
        },
    }


def test_clear_protected_context_refetches_public_bundle(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Here no request is needed: the public bundle is there already."""
    scope = client.create_scope().bind_protected_context(ALICE)
    asked = len(server.to("guards"))
    cleared = scope.clear_protected_context()
    assert cleared.get_protected_context() is None
    assert cleared.is_open("open.guard")
    protected = [r for r in server.to("guards")[asked:] if "protectedContext" in r[2]]
    assert protected == []


def test_bind_protected_context_returns_derived_scope_and_caches_bundles(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """The same context twice is one request, another context another one."""
    public = client.create_scope()
    scope = public.bind_protected_context(ALICE)
    again = ProtectedContext(signature="s-1", properties=dict(ALICE.properties))
    client.create_scope().bind_protected_context(again)
    client.create_scope().bind_protected_context(
        ProtectedContext(signature="s-2", properties={"email": "bob@example.org"})
    )
    documents = [request.document for request in server.to("guards")]
    bound = [one["protectedContext"] for one in documents if "protectedContext" in one]
    assert [one["signature"] for one in bound] == ["s-1", "s-2"]
    assert scope is not public
    assert public.get_protected_context() is None


# -- requests


def test_environment_is_included_in_signal_and_unadopted_requests(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """In the body and in a header of both."""
    client.is_open("open.guard")
    client.is_open("new.guard")
    sent(server, client)
    for path in ("signals", "unadopted-guards"):
        (request,) = server.to(path)
        assert request.document["environment"] == "production"
        assert request.headers["x-liteguard-environment"] == "production"


def test_environment_is_included_in_guard_requests(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """In the body and in a header, beside the token."""
    assert client.status().ready
    first = server.to("guards")[0]
    document = {"projectClientToken": TOKEN, "environment": "production"}
    assert first.document == document
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["x-liteguard-environment"] == "production"


@pytest.mark.parametrize(("quiet", "lines"), [(True, 0), (False, 1)])
def test_log_only_emits_when_quiet_is_disabled(
    state_dir: Path, caplog: pytest.LogCaptureFixture, *, quiet: bool, lines: int
) -> None:
    """A backend that cannot be reached is told once, or not at all."""
    caplog.set_level(logging.WARNING)
    client = LiteguardClient(
        TOKEN, backend_url="http://127.0.0.1:1", state_dir=str(state_dir), quiet=quiet
    )
    client.start()
    client.shutdown()
    assert len(caplog.records) == lines


def test_http_timeout_seconds_overrides_request_timeout(
    server: RecordingServer, state_dir: Path
) -> None:
    """A request that takes longer is given up."""
    server.may_answer.clear()
    with made(server, state_dir, http_timeout_seconds=0.2) as client:
        error = client.status().last_error or ""
    assert re.search(r"no answer .* within 0\.[12]", error)
    server.may_answer.set()


def test_shutdown_uses_configured_http_timeout_for_worker_joins(
    server: RecordingServer, state_dir: Path
) -> None:
    """Here the whole of a shutdown ends by then, though the backend hangs."""
    client = made(server, state_dir, http_timeout_seconds=0.3)
    client.start()
    client.is_open("open.guard")
    server.may_answer.clear()
    client.shutdown()
    assert client.status().role == "stopped"
    server.may_answer.set()


# -- buffers


def test_custom_flush_buffer_multiplier_caps_requeued_signals(
    server: RecordingServer, state_dir: Path
) -> None:
    """Two times two are kept, and the rest is counted."""
    sizes = {"flush_size": 2, "flush_buffer_multiplier": 2}
    with made(server, state_dir, **sizes) as client:
        server.may_answer.clear()
        for number in range(9):
            client.is_open("open.guard", Options(properties={"n": number}))
        server.may_answer.set()
        found = sent(server, client)
        assert len(found) + server.dropped() == 9
        assert server.dropped() >= 1


def test_buffer_drops_oldest_signal_when_full(
    server: RecordingServer, state_dir: Path
) -> None:
    """The newest are kept, and the next signal tells how many are gone."""
    sizes = {"flush_size": 4, "flush_buffer_multiplier": 1}
    client = made(server, state_dir, **sizes, http_timeout_seconds=0.2)
    with client:
        server.may_answer.clear()
        for number in range(12):
            client.is_open("open.guard", Options(properties={"n": number}))
        server.may_answer.set()
        until(client.flush_signals)
        found = server.signals()
    assert found[-1]["properties"] == {"n": 11}
    assert len(found) + server.dropped() == 12
    assert server.dropped() >= 1


def test_buffer_threshold_flush_does_not_block_hot_path(
    server: RecordingServer, state_dir: Path
) -> None:
    """The check that fills a batch returns while the batch waits for its answer."""
    with made(server, state_dir, flush_size=1) as client:
        server.may_answer.clear()
        server.asked.clear()
        assert client.is_open("open.guard")
        assert server.asked.wait(10.0)
        assert server.batches() == []
        server.may_answer.set()
        until(server.batches)


# -- signals


def test_signal_includes_tracing_metadata(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Ids, a number, the place in the code, and readings."""
    client.is_open("open.guard")
    (found,) = sent(server, client)
    assert found["signalId"]
    assert found["executionId"]
    assert re.search(r"test_published_behaviours\.py:\d+$", found["callsiteId"])
    assert (found["sequenceNumber"], found["kind"]) == (1, "guard_check")
    assert found["droppedSignalsSinceLast"] == 0
    assert "guardCheck" in found["measurement"]


def test_guard_check_measurement_is_captured_when_enabled(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Memory, processor time and collections."""
    client.is_open("open.guard")
    (found,) = sent(server, client)
    readings = found["measurement"]["guardCheck"]
    assert set(readings) == {"rssBytes", "cpuTimeNs", "gcCount"}
    assert all(isinstance(value, int) for value in readings.values())


def test_ru_maxrss_is_normalized_to_bytes(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Here it is what the process holds now, in bytes, and not what it once held."""
    client.is_open("open.guard")
    (found,) = sent(server, client)
    assert 2**20 < found["measurement"]["guardCheck"]["rssBytes"] < 2**36


def test_measurement_is_omitted_when_disabled_by_client_check_or_guard(
    server: RecordingServer, state_dir: Path
) -> None:
    """In each of three places, for the check and for the execution."""
    quiet = guard("quiet.guard", defaultValue=True, disableMeasurement=True)
    server.guards.append(quiet)
    with made(server, state_dir) as client:
        client.execute_if_open("quiet.guard", list)
        client.execute_if_open("open.guard", list, Options(disable_measurement=True))
        assert len(sent(server, client)) == 4
    with made(server, state_dir, disable_measurement=True) as client:
        client.execute_if_open("open.guard", list)
        assert len(sent(server, client)) == 6
    assert all("measurement" not in found for found in server.signals())


# -- executions


def linked(signals: list[dict[str, Any]]) -> bool:
    """Return whether signals are numbered in one execution."""
    numbers = [found["sequenceNumber"] for found in signals]
    ids = {found["executionId"] for found in signals}
    return len(ids) == 1 and numbers == list(range(1, len(signals) + 1))


def test_execution_scope_links_signals(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """One id, numbers that run on, and each follows the one before."""
    with client.execution():
        client.is_open("open.guard")
        client.is_open("b.guard")
    first, second = sent(server, client)
    assert linked([first, second])
    assert second["parentSignalId"] == first["signalId"]


def test_signals_outside_execution_scope_are_standalone(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Each has an execution of its own."""
    client.is_open("open.guard")
    client.is_open("b.guard")
    first, second = sent(server, client)
    assert first["executionId"] != second["executionId"]
    assert [first["sequenceNumber"], second["sequenceNumber"]] == [1, 1]
    assert "parentSignalId" not in first
    assert "parentSignalId" not in second


def test_nested_execution_scope_reuses_active_execution(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """The inner block belongs to the outer one."""
    with client.execution():
        client.is_open("open.guard")
        with client.execution():
            client.is_open("b.guard")
    assert linked(sent(server, client))


def test_execute_if_open_returns_none_and_skips_callback_when_closed(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """The check is the only signal."""
    called: list[int] = []
    assert client.execute_if_open("closed.guard", lambda: called.append(1)) is None
    assert called == []
    assert [found["guardName"] for found in sent(server, client)] == ["closed.guard"]


def test_execute_if_open_executes_callback_inside_linked_execution(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Check, what is checked inside, and the execution, in this order."""
    inner = client.execute_if_open("open.guard", lambda: client.is_open("b.guard"))
    assert inner is True
    found = sent(server, client)
    assert linked(found)
    assert [one["kind"] for one in found] == [*["guard_check"] * 2, "guard_execution"]
    parents = [one.get("parentSignalId") for one in found]
    assert parents == [None, found[0]["signalId"], found[0]["signalId"]]


def test_execute_if_open_awaitable_preserves_execution_context_until_await_finishes(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """A coroutine is within the execution while it is awaited."""

    async def inside() -> bool:
        await asyncio.sleep(0)
        return client.is_open("b.guard")

    async def main() -> Any:
        pending: Any = client.execute_if_open("open.guard", inside)
        return await pending

    assert asyncio.run(main()) is True
    found = sent(server, client)
    assert linked(found)
    assert found[2]["parentSignalId"] == found[0]["signalId"]


def test_execute_if_open_awaitable_records_failure_after_await(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """The execution ends with the await, and tells the error's class."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("boom")

    async def main() -> None:
        pending: Any = client.execute_if_open("open.guard", fail)
        assert client.status().checks == 1
        await pending

    with pytest.raises(RuntimeError, match="boom"):
        asyncio.run(main())
    check, execution = sent(server, client)
    assert execution["parentSignalId"] == check["signalId"]
    ended = execution["measurement"]["guardExecution"]
    assert (ended["completed"], ended["errorClass"]) == (False, "RuntimeError")


def test_guard_execution_measurement_is_captured_when_enabled(
    server: RecordingServer, client: LiteguardClient
) -> None:
    """Duration, end and readings at the end."""
    assert client.execute_if_open("open.guard", lambda: "done") == "done"
    ended = sent(server, client)[1]["measurement"]["guardExecution"]
    assert ended["completed"] is True
    readings = {"durationNs", "rssEndBytes", "cpuTimeEndNs", "gcCountEnd"}
    assert readings < set(ended)
    assert "errorClass" not in ended


# -- bundles


class Bundles(RecordingServer):
    """Serves what the test says, and remembers when it was asked."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(OPEN)
        self.fields = fields

    def respond(self, path: str, document: dict[str, Any]) -> Any:
        """Answer with the fields laid over a bundle."""
        answer, content = super().respond(path, document)
        if path == "/api/v1/guards":
            content = json.dumps({**json.loads(content), **self.fields}).encode()
        return answer, content


def polls_in_a_second(state_dir: Path, **fields: Any) -> int:
    """Return how often a backend is asked that serves these fields."""
    with Bundles(**fields) as server, made(server, state_dir) as client:
        rounds = client.status().refreshes
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun >= 1.0)
        assert client.is_open("open.guard")
        assert rounds >= 1
        return len(server.to("guards"))


def test_server_refresh_rate_can_slow_down_refreshes(state_dir: Path) -> None:
    """A backend that wants to be asked each ten seconds is."""
    assert polls_in_a_second(state_dir, refreshRateSeconds=10) == 1


def test_server_refresh_rate_never_goes_below_client_floor(state_dir: Path) -> None:
    """A backend cannot ask to be asked more often than the option says."""
    assert 2 <= polls_in_a_second(state_dir, refreshRateSeconds=0.001) <= 7


def test_invalid_refresh_rate_payload_is_ignored_without_clobbering_cached_guards(
    state_dir: Path,
) -> None:
    """Here the number alone is ignored: the guards that came with it are used."""
    assert 2 <= polls_in_a_second(state_dir, refreshRateSeconds="soon") <= 7


def test_invalid_guard_payload_is_ignored_without_clobbering_cached_guards(
    state_dir: Path,
) -> None:
    """Here the rule that is not understood is left out, and nothing else."""
    odd = {"propertyName": "p", "operator": "NO_SUCH", "values": [1], "result": False}
    rules = [odd, rule("plan", "pro")]
    served = [guard("a.guard", rules=rules), OPEN]
    with Bundles(guards=served) as server, made(server, state_dir) as client:
        assert client.is_open("a.guard", PRO)
        assert not client.is_open("a.guard", FREE)
        assert client.is_open("open.guard")


def test_shortest_cached_bundle_refresh_rate_wins(state_dir: Path) -> None:
    """Here each bundle has its own: a context's does not hurry the public one."""

    class Server(RecordingServer):
        def respond(self, path: str, document: dict[str, Any]) -> Any:
            answer, content = super().respond(path, document)
            if path == "/api/v1/guards":
                rate = 0 if "protectedContext" in document else 60
                bundle = {**json.loads(content), "refreshRateSeconds": rate}
                content = json.dumps(bundle).encode()
            return answer, content

    with Server(OPEN) as server, made(server, state_dir) as client:
        scope = client.create_scope().bind_protected_context(ALICE)
        until(lambda: scope.is_open("open.guard") and len(server.to("guards")) >= 4)
        found = [one.document for one in server.to("guards")]
    assert ["protectedContext" in one for one in found] == [False] + [True] * (
        len(found) - 1
    )


# -- rate limits


def test_enforces_limit() -> None:
    """The third of two is closed."""
    assert answers(limited(2), 3) == [True, True, False]


def test_closed_eval_does_not_consume_quota() -> None:
    """What a rule closes uses nothing up."""
    client = limited(2, rules=[rule("plan", "free", result=False)])
    assert answers(client, 5, plan="free") == [False] * 5
    assert answers(client, 3, plan="pro") == [True, True, False]


def test_zero_limit_means_unlimited() -> None:
    """A limit of nothing is none."""
    assert all(answers(limited(0), 100))


def test_window_reset_clears_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here an answer counts for a minute, wherever a minute is cut."""
    client, now = limited(1), time.clock_gettime_ns
    assert answers(client, 2) == [True, False]
    for seconds, expected in ((59.9, False), (60.1, True), (60.2, False)):
        later = int(seconds * 1e9)
        monkeypatch.setattr(time, "clock_gettime_ns", lambda c, s=later: now(c) + s)
        assert answers(client, 1) == [expected]


def test_bucketed_by_single_property() -> None:
    """Each value has a limit of its own."""
    client = limited(1, "region")
    for region in ("us-east", "eu-west"):
        assert answers(client, 2, region=region) == [True, False]


def test_bucketed_by_multiple_properties() -> None:
    """Each combination has."""
    client = limited(1, "domain", "region")
    assert answers(client, 2, domain="acme", region="us") == [True, False]
    assert answers(client, 1, domain="acme", region="eu") == [True]


def test_empty_properties_uses_global_bucket() -> None:
    """Without partitions all share one limit."""
    client = limited(1)
    assert answers(client, 1, region="us") == [True]
    assert answers(client, 1, region="eu") == [False]


def test_records_active_and_dry_run_decisions(
    server: RecordingServer, state_dir: Path
) -> None:
    """The second signal tells that both limits were reached."""
    limit = {"requestsPerMinute": 1, "partitionProperties": ["region"]}
    trial = {**limit, "dryRunId": "preview-1"}
    both = {"rateLimit": limit, "dryRunRateLimit": trial}
    server.guards.append(guard("a.guard", defaultValue=True, **both))
    with made(server, state_dir) as client:
        assert answers(client, 2, region="us-east") == [True, False]
        active, dry_run = sent(server, client)[1]["rateLimitDecisions"]
    common = {
        "requestsPerMinute": 1,
        "countInWindow": 2,
        "partitionProperties": ["region"],
        "partitionValues": {"region": "us-east"},
    }
    limited_one = {"evaluationTarget": "active", "outcome": "limited"}
    tried = {"evaluationTarget": "dry_run", "outcome": "would_limit"}
    assert active == {**common, **limited_one}
    assert dry_run == {**common, **tried, "dryRunId": "preview-1"}


def test_rate_limit_decisions_normalize_none_partition_properties(
    server: RecordingServer, state_dir: Path
) -> None:
    """A null in their place is no partition."""
    limit = {"requestsPerMinute": 1, "partitionProperties": None}
    trial = {**limit, "dryRunId": "preview-1"}
    both = {"rateLimit": limit, "dryRunRateLimit": trial}
    server.guards.append(guard("a.guard", defaultValue=True, **both))
    with made(server, state_dir) as client:
        assert answers(client, 1) == [True]
        found = sent(server, client)[0]["rateLimitDecisions"]
    assert [one["partitionProperties"] for one in found] == [[], []]
    assert [one["partitionValues"] for one in found] == [{}, {}]


# -- the table


def test_the_table_tells_of_each_behaviour() -> None:
    """Each row has a test here or says where it is, and each test here has a row."""
    row = re.compile(r"^\| `(\w+)` \|.*\| (same|better|different)\b", re.MULTILINE)
    rows = row.findall(MIGRATING.read_text())
    listed = [name for name, _ in rows]
    here = Path(__file__).read_text()
    tests = set(re.findall(r"^def test_(\w+)\(", here, re.MULTILINE)) - {"operators"}
    tests |= set(re.findall(r"\bid=\"(\w+)\"", here))
    tests -= {sys._getframe().f_code.co_name.removeprefix("test_")}
    assert len(listed) == len(set(listed)) == 63
    assert set(listed) == tests | {"evaluation_conformance_fixtures"}
