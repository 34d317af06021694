"""What the management API refuses, and how it says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from backends import Backend
    from devserver import DevServer

OPERATORS = ["EQUALS", "NOT_EQUALS", "IN", "NOT_IN", "REGEX", "GT", "GTE", "LT", "LTE"]


def rule(**fields: Any) -> dict[str, Any]:
    """Return a guard with one rule; *fields* replace or add to it."""
    valid = {"propertyName": "plan", "operator": "EQUALS", "values": ["pro"]}
    return {"name": "a.guard", "rules": [{**valid, **fields}]}


def limit(**fields: Any) -> dict[str, Any]:
    """Return a guard with a limit; *fields* replace or add to it."""
    return {"name": "a.guard", "rateLimit": {"requestsPerMinute": 5, **fields}}


@pytest.mark.parametrize(
    ("guard", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": ".."}, "name"),
        ({"name": "a/./b"}, "name"),
        ({"name": "half \ud800"}, "name"),
        ({"name": "a.guard", "adopted": "yes"}, "adopted"),
        ({"name": "a.guard", "adopted": 1}, "adopted"),
        ({"name": "a.guard", "defaultValue": None}, "defaultValue"),
        ({"name": "a.guard", "default_value": True}, "default_value"),
        ({"name": "a.guard", "rules": {}}, "rules"),
        ({"name": "a.guard", "rules": [5]}, "rules.0"),
        ({"name": "a.guard", "rateLimitPerMinute": 5}, "rateLimitPerMinute"),
        (rule(operator="CONTAINS"), "rules.0.operator"),
        (rule(operator="equals"), "rules.0.operator"),
        (rule(operator=None), "rules.0.operator"),
        (rule(propertyName=""), "rules.0.propertyName"),
        (rule(propertyName="x" * 201), "rules.0.propertyName"),
        (rule(values="pro"), "rules.0.values"),
        (rule(values=["pro", ["pro"]]), "rules.0.values.1"),
        (rule(values=[{}]), "rules.0.values.0"),
        (rule(values=[float("nan")]), "rules.0.values.0"),
        (rule(values=[float("inf")]), "rules.0.values.0"),
        (rule(values=["\ud800"]), "rules.0.values.0"),
        (rule(result="true"), "rules.0.result"),
        (rule(enabled=0), "rules.0.enabled"),
        (rule(colour="red"), "rules.0.colour"),
        (limit(requestsPerMinute=0), "rateLimit.requestsPerMinute"),
        (limit(requestsPerMinute=-1), "rateLimit.requestsPerMinute"),
        (limit(requestsPerMinute=1.5), "rateLimit.requestsPerMinute"),
        (limit(requestsPerMinute=True), "rateLimit.requestsPerMinute"),
        (limit(requestsPerMinute="5"), "rateLimit.requestsPerMinute"),
        (limit(partitionProperties=[""]), "rateLimit.partitionProperties.0"),
        (limit(dryRunId="d"), "rateLimit.dryRunId"),
        (
            {"name": "a.guard", "dryRunRateLimit": {"requestsPerMinute": 5}},
            "dryRunRateLimit.dryRunId",
        ),
    ],
)
def test_malformed_guard_is_refused(
    backend: Backend, guard: dict[str, Any], field: str
) -> None:
    """The answer names the field, and no guard is created."""
    response = backend.request(
        "POST",
        f"/manage/v1/environments/{backend.environment}/guards",
        data=json.dumps(guard),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 422
    assert response.json()["error"]["field"] == field
    assert response.json()["error"]["reason"]
    assert backend.guards() == []


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_operator_is_taken(backend: Backend, operator: str) -> None:
    """The nine operators of the protocol are valid."""
    guard = backend.create_guard(
        "a.guard", rules=(rule(operator=operator)["rules"][0],)
    )
    assert guard["rules"][0]["operator"] == operator


@pytest.mark.parametrize(
    "value", [True, False, 0, 1, -1, 2**60, 10**30, 0.5, 1.0, "", "x", "ü", None]
)
def test_each_scalar_keeps_value_and_type(backend: Backend, value: object) -> None:
    """What a rule compares with comes back as the same value of the same type."""
    guard = backend.create_guard("a.guard", rules=(rule(values=[value])["rules"][0],))
    (kept,) = guard["rules"][0]["values"]
    assert repr(kept) == repr(value)
    assert repr(backend.guards()[0]["rules"][0]["values"][0]) == repr(value)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "other"}, "name"),
        ({"adopted": None}, "adopted"),
        ({"rules": [{"propertyName": "p", "operator": "NO"}]}, "rules.0.operator"),
        ({"rateLimit": {}}, "rateLimit.requestsPerMinute"),
        ({"colour": "red"}, "colour"),
        ([], None),
    ],
)
def test_malformed_change_is_refused(
    backend: Backend, fields: object, field: object
) -> None:
    """The answer names the field, and the guard stays as it was."""
    created = backend.create_guard("a.guard")
    response = backend.request(
        "PATCH",
        f"/manage/v1/environments/{backend.environment}/guards/a.guard",
        json=fields,
    )
    assert response.status_code == 422
    assert response.json()["error"]["field"] == (field or "body")
    assert backend.guards() == [created]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "with space"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "ok", "refreshRateSeconds": -1}, "refreshRateSeconds"),
        ({"name": "ok", "refreshRateSeconds": "5"}, "refreshRateSeconds"),
        ({"name": "ok", "refreshRateSeconds": 1e9}, "refreshRateSeconds"),
        ({"name": "ok", "refreshRateSeconds": None}, "refreshRateSeconds"),
    ],
)
def test_malformed_environment_is_refused(
    devserver: DevServer, fields: dict[str, Any], field: str
) -> None:
    """The answer names the field."""
    response = devserver.request("POST", "/manage/v1/environments", json=fields)
    assert response.status_code == 422
    assert response.json()["error"]["field"] == field


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"\xff", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"1" * 10_000, "application/json"),
        (b'{"name": "a.guard"}', "text/plain"),
    ],
    ids=["empty", "cut off", "no text", "deep", "huge number", "no JSON by its type"],
)
def test_body_that_is_no_json_is_refused(
    backend: Backend, body: bytes, content_type: str
) -> None:
    """Whatever arrives, the answer is a refusal of the usual shape."""
    response = backend.request(
        "POST",
        f"/manage/v1/environments/{backend.environment}/guards",
        data=body,
        headers={"Content-Type": content_type},
    )
    assert response.status_code in (400, 422)
    assert set(response.json()["error"]) == {"field", "reason"}
    assert backend.guards() == []


def test_body_that_ends_early_is_told_as_such(backend: Backend) -> None:
    """The field is the body; a position in the text is no field."""
    response = backend.request(
        "POST",
        f"/manage/v1/environments/{backend.environment}/guards",
        data=b'{"name": ',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 422
    assert response.json()["error"]["field"] == "body"


def test_refusal_does_not_repeat_what_was_sent(backend: Backend) -> None:
    """A value in the wrong place may be a secret."""
    secret = "pct-do-not-tell"  # noqa: S105 - made up for this test
    for document in ({"name": secret, "adopted": secret}, {"name": [secret]}, [secret]):
        response = backend.request(
            "POST",
            f"/manage/v1/environments/{backend.environment}/guards",
            json=document,
        )
        assert response.status_code == 422
        assert secret not in response.text
