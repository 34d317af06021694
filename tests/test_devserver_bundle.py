"""The bundle and its etag, as the local backend serves them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from wireclient import WireClient

if TYPE_CHECKING:
    from backends import Backend

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


def test_refresh_rate_is_left_to_clients_unless_set(backend: Backend) -> None:
    """An environment created without a rate asks for 0, written as a whole number."""
    backend.manage("POST", "environments", {"name": f"{backend.environment}-plain"})
    plain = WireClient(backend, backend.create_token(f"{backend.environment}-plain"))
    plain.environment = f"{backend.environment}-plain"
    assert '"refreshRateSeconds":0,' in plain.fetch().text


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
