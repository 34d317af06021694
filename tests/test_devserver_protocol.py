"""The three calls of the protocol, as the local backend answers them."""

from __future__ import annotations

import gzip
import json
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from liteguard.devserver.bodies import (
    MAX_DECODED_BYTES,
    MAX_RECEIVED_BYTES,
    BodyRefusedError,
    decode,
)
from wireclient import WireClient, observation, signal

if TYPE_CHECKING:
    from backends import Backend
    from devserver import DevServer

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("guards", {}),
    ("signals", {"signals": []}),
    ("unadopted-guards", {"observations": []}),
]
RULE = {
    "propertyName": "plan",
    "operator": "IN",
    "values": ["pro", 1, 1.5, True, None],
    "result": True,
    "enabled": False,
}
DRY_RUN = {"dryRunId": "d1", "requestsPerMinute": 7, "partitionProperties": ["user"]}


@pytest.fixture
def client(backend: Backend) -> WireClient:
    """Return a client of this test's environment."""
    return WireClient(backend)


def test_bundle_of_an_empty_environment_has_no_guards(client: WireClient) -> None:
    """A new environment serves an empty list, its refresh rate and an etag."""
    bundle = client.fetch().json()
    assert bundle["guards"] == []
    assert set(bundle) == {"guards", "refreshRateSeconds", "etag"}


def test_refresh_rate_is_a_whole_minute_unless_set(backend: Backend) -> None:
    """An environment created without a rate asks for 60, written as a whole number."""
    backend.manage("POST", "environments", {"name": f"{backend.environment}-plain"})
    plain = WireClient(backend, backend.create_token(f"{backend.environment}-plain"))
    plain.environment = f"{backend.environment}-plain"
    assert '"refreshRateSeconds":60,' in plain.fetch().text


def test_guard_is_served_as_it_was_created(
    backend: Backend, client: WireClient
) -> None:
    """Every field of a guard arrives with its value and its type."""
    guard = backend.create_guard(
        "payments.checkout",
        default_value=True,
        rules=(RULE,),
        rateLimit={"requestsPerMinute": 5, "partitionProperties": []},
        dryRunRateLimit=DRY_RUN,
        disableMeasurement=True,
    )
    (served,) = client.fetch().json()["guards"]
    assert served == guard
    assert served["defaultValue"] is True
    assert served["disableMeasurement"] is True
    assert served["dryRunRateLimit"] == DRY_RUN
    assert [repr(value) for value in served["rules"][0]["values"]] == [
        "'pro'",
        "1",
        "1.5",
        "True",
        "None",
    ]


def test_limits_that_are_not_set_are_left_out(
    backend: Backend, client: WireClient
) -> None:
    """A guard without limits has no such fields; the published package needs that."""
    backend.create_guard("a.guard")
    (served,) = client.fetch().json()["guards"]
    assert set(served) == {
        "name",
        "adopted",
        "defaultValue",
        "rules",
        "disableMeasurement",
    }


def test_etag_is_in_the_header_and_in_the_body(client: WireClient) -> None:
    """The header's etag is the body's, in quotes."""
    response = client.fetch()
    assert response.headers["ETag"] == f'"{response.json()["etag"]}"'


@pytest.mark.parametrize("form", ["{}", '"{}"', 'W/"{}"', '"other", "{}"'])
def test_known_etag_is_answered_without_a_body(client: WireClient, form: str) -> None:
    """If-None-Match counts bare, quoted, weak and in a list."""
    etag = client.fetch().json()["etag"]
    response = client.fetch(If_None_Match=form.format(etag))
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["ETag"] == f'"{etag}"'


def test_old_etag_is_answered_with_the_bundle(client: WireClient) -> None:
    """Another etag gets the bundle."""
    assert client.fetch(If_None_Match="another").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda backend: backend.create_guard("b.guard"),
        lambda backend: backend.update_guard("a.guard", defaultValue=True),
        lambda backend: backend.update_guard("a.guard", adopted=False),
        lambda backend: backend.delete_guard("a.guard"),
        lambda backend: backend.set_refresh_rate(17),
    ],
    ids=["create", "default", "adopted", "delete", "refresh rate"],
)
def test_every_change_changes_the_etag(
    backend: Backend, client: WireClient, change: Any
) -> None:
    """Whatever changes in the bundle, the next conditional fetch brings it."""
    backend.create_guard("a.guard")
    before = client.fetch().json()["etag"]
    change(backend)
    after = client.fetch(If_None_Match=before)
    assert after.status_code == 200
    assert after.json()["etag"] != before


def test_change_of_another_environment_leaves_the_etag(
    backend: Backend, client: WireClient
) -> None:
    """What happens in one environment brings no fetch to another."""
    before = client.fetch().json()["etag"]
    other = f"{backend.environment}-other"
    backend.create_environment(other)
    backend.create_guard("a.guard", environment=other)
    assert client.fetch(If_None_Match=before).status_code == 304


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_each_call_takes_the_environment_from_the_body(
    client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """Without the header the body's environment counts."""
    response = client.call(path, content, X_Liteguard_Environment="")
    assert response.status_code == 200


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_each_call_takes_the_environment_from_the_header(
    client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """With an empty name in the body the header's environment counts."""
    response = client.call(path, {**content, "environment": ""})
    assert response.status_code == 200


def test_no_environment_means_the_one_of_the_token(
    backend: Backend, client: WireClient
) -> None:
    """A client that names no environment gets what its token is for."""
    backend.create_guard("a.guard")
    named = client.fetch().json()
    client.environment = ""
    assert client.fetch().json() == named


def test_no_environment_and_a_token_for_all_mean_the_default_one(
    devserver: DevServer,
) -> None:
    """A client that names none and has a token for all gets the one called default."""
    default = WireClient(devserver).fetch().json()
    client = WireClient(devserver, devserver.create_token(None))
    client.environment = ""
    assert client.fetch().json() == default


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_differing_environments_are_refused(
    client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """Header and body naming different environments are a mistake, answered as one."""
    response = client.call(path, {**content, "environment": "default"})
    assert response.status_code == 422
    assert response.json()["error"]["field"] == "environment"


@pytest.mark.parametrize(("path", "content"), CALLS)
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic abc"])
def test_missing_bearer_token_is_refused(
    client: WireClient, path: str, content: dict[str, Any], authorization: str
) -> None:
    """A body with the right token is not enough."""
    response = client.call(path, content, Authorization=authorization)
    assert response.status_code == 401
    assert response.json()["error"]["field"] == "Authorization"


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_differing_tokens_are_refused(
    client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """Header and body have to carry the same token, even if one is right."""
    response = client.call(path, {**content, "projectClientToken": "pct-other"})
    assert response.status_code == 401
    assert response.json()["error"]["field"] == "projectClientToken"


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_unknown_token_is_refused_and_not_repeated(
    backend: Backend, path: str, content: dict[str, Any]
) -> None:
    """The answer says what is wrong without the token."""
    response = WireClient(backend, "pct-wrong").call(path, content)
    assert response.status_code == 401
    assert "unknown or disabled" in response.json()["error"]["reason"]
    assert "pct-wrong" not in response.text


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_disabled_token_is_refused_until_it_is_enabled(
    backend: Backend, client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """Disabling works at once and can be taken back."""
    (token,) = (
        token["id"]
        for token in backend.manage("GET", "tokens")["tokens"]
        if token["environment"] == backend.environment
    )
    backend.manage("PATCH", f"tokens/{token}", {"disabled": True})
    assert client.call(path, content).status_code == 401
    backend.manage("PATCH", f"tokens/{token}", {"disabled": False})
    assert client.call(path, content).status_code == 200


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_unknown_environment_is_refused(
    client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """A valid token does not make an environment appear."""
    client.environment = "nowhere"
    response = client.call(path, content)
    assert response.status_code == 404
    assert response.json()["error"]["field"] == "environment"


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_token_does_not_open_another_environment(
    backend: Backend, client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """A token is good for its own environment only."""
    client.environment = f"{backend.environment}-other"
    backend.create_environment(client.environment)
    response = client.call(path, content)
    assert response.status_code == 403
    assert response.json()["error"]["field"] == "environment"


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_token_for_all_environments_opens_each(
    backend: Backend, path: str, content: dict[str, Any]
) -> None:
    """A token created without an environment is good everywhere."""
    client = WireClient(backend, backend.create_token(None))
    assert client.call(path, content).status_code == 200
    client.environment = "default"
    assert client.call(path, content).status_code == 200


def test_environments_share_no_records(backend: Backend) -> None:
    """The same signal id and guard name in two environments are two things."""
    first = WireClient(backend)
    other = f"{backend.environment}-other"
    second = WireClient(backend, backend.create_environment(other))
    second.environment = other
    for client in (first, second):
        client.send(signal("s1"))
        client.observe(observation("new.guard"))
        client.fetch()
    for name in (backend.environment, other):
        assert backend.signal_summary(environment=name)["total"] == 1
        assert backend.observations(environment=name)["new.guard"]["checkCount"] == 1
        assert backend.poll_count(environment=name) == 1


@pytest.mark.parametrize(("path", "content"), CALLS)
def test_gzipped_bodies_are_read(
    client: WireClient, path: str, content: dict[str, Any]
) -> None:
    """Content-Encoding: gzip works on each call."""
    assert client.call_gzipped(path, content).status_code == 200


def test_gzipped_signals_are_stored(backend: Backend, client: WireClient) -> None:
    """A compressed batch arrives whole."""
    assert client.call_gzipped(
        "signals", {"signals": [signal("s1"), signal("s2")]}
    ).json() == {"accepted": True}
    assert backend.signal_summary()["distinct"] == 2


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"no gzip", "gzip", 400),
        (gzip.compress(b"{}" * 100)[:-9], "gzip", 400),
        (gzip.compress(b"{}") + b"more", "gzip", 400),
        (b"{}", "br", 415),
        (gzip.compress(b" " * (MAX_DECODED_BYTES + 1)), "gzip", 413),
        (b" " * (MAX_RECEIVED_BYTES + 1), "", 413),
    ],
    ids=["no gzip", "cut off", "trailing", "brotli", "bomb", "large"],
)
def test_bodies_that_cannot_be_read_are_refused(
    client: WireClient, body: bytes, encoding: str, status: int
) -> None:
    """Broken, unknown and oversized bodies get an answer that says so."""
    response = client.post("signals", body, Content_Encoding=encoding)
    assert response.status_code == status
    assert response.json()["error"]["field"] == "body"


def test_decompression_takes_no_more_memory_than_its_bound() -> None:
    """A body that would grow a thousandfold is given up when it reaches the bound."""
    bomb = gzip.compress(bytes(4 * MAX_DECODED_BYTES), compresslevel=1)
    tracemalloc.start()
    with pytest.raises(BodyRefusedError):
        decode(bomb, b"gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * MAX_DECODED_BYTES


def test_largest_allowed_body_is_read(backend: Backend, client: WireClient) -> None:
    """The bound itself is still within it."""
    document = json.dumps(client.body({"signals": [signal("s1")]})).encode()
    padding = b" " * (MAX_DECODED_BYTES - len(document))
    response = client.post(
        "signals", gzip.compress(document + padding), Content_Encoding="gzip"
    )
    assert response.status_code == 200
    assert backend.signal_summary()["distinct"] == 1


def test_fetch_sees_every_write_that_was_answered(
    backend: Backend, client: WireClient
) -> None:
    """While threads fetch without a pause, each created guard is in the next bundle."""
    stop = threading.Event()

    def fetch_on_and_on() -> None:
        while not stop.is_set():
            client.fetch()

    threads = [threading.Thread(target=fetch_on_and_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            backend.create_guard(f"guard.{number}")
            assert len(client.fetch().json()["guards"]) == number + 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
