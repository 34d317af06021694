"""The management API of the local backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

import pytest

from wireclient import WireClient, observation

if TYPE_CHECKING:
    import requests

    from backends import Backend
    from devserver import DevServer

MANAGE = "/manage/v1"


def refusal(response: requests.Response) -> tuple[int, Optional[str]]:
    """Return status and field of an answer that has the shape of a refusal."""
    document = response.json()
    assert set(document) == {"error"}
    assert set(document["error"]) == {"field", "reason"}
    assert document["error"]["reason"]
    return response.status_code, document["error"]["field"]


@pytest.fixture
def guards(backend: Backend) -> str:
    """Return the path of this test's guards."""
    return f"{MANAGE}/environments/{backend.environment}/guards"


def test_health_is_told_once_requests_are_served(devserver: DevServer) -> None:
    """A probe needs no token."""
    assert devserver.request("GET", "/healthz").json() == {"status": "ok"}


def test_description_names_every_route(devserver: DevServer) -> None:
    """The OpenAPI document lists the paths of both APIs."""
    paths = set(devserver.request("GET", "/openapi.json").json()["paths"])
    environment = "/manage/v1/environments/{environment}"
    assert paths == {
        "/healthz",
        "/api/v1/guards",
        "/api/v1/signals",
        "/api/v1/unadopted-guards",
        "/manage/v1/environments",
        environment,
        f"{environment}/guards",
        f"{environment}/guards/{{name}}",
        f"{environment}/guards/{{name}}/adopt",
        f"{environment}/signals",
        f"{environment}/signals/summary",
        f"{environment}/observations",
        f"{environment}/polls",
        f"{environment}/polls/summary",
        f"{environment}/overview",
        f"{environment}/activity",
        f"{environment}/processes",
        f"{environment}/changes",
        f"{environment}/changes/{{change_id}}/undo",
        "/manage/v1/trials",
        "/manage/v1/events",
        "/manage/v1/export",
        "/manage/v1/import",
        "/manage/v1/session",
        "/manage/v1/tokens",
        "/manage/v1/tokens/{token_id}",
    }


def test_created_guard_can_be_read_and_listed(backend: Backend, guards: str) -> None:
    """Creation answers with the guard that reading and listing give, by name."""
    second = backend.create_guard("b.guard")
    first = backend.create_guard("a.guard")
    assert backend.request("GET", f"{guards}/b.guard").json() == second
    assert backend.guards() == [first, second]


def test_guard_document_moves_from_the_bundle_to_the_api(backend: Backend) -> None:
    """What clients are served can be created as it is in another environment."""
    backend.create_guard("a.guard", rateLimit={"requestsPerMinute": 5})
    (served,) = WireClient(backend).fetch().json()["guards"]
    other = f"{backend.environment}-other"
    backend.create_environment(other)
    backend.manage("POST", f"environments/{other}/guards", served)
    assert backend.guards(environment=other) == [served]


def test_guard_that_exists_is_not_created_again(backend: Backend, guards: str) -> None:
    """A second creation is refused and changes nothing."""
    created = backend.create_guard("a.guard")
    again = {"name": "a.guard", "defaultValue": True}
    assert refusal(backend.request("POST", guards, json=again)) == (409, "name")
    assert backend.guards() == [created]


def test_update_replaces_the_given_fields_only(backend: Backend) -> None:
    """Fields that are not mentioned keep their values."""
    rule = {"propertyName": "plan", "operator": "EQUALS", "values": ["pro"]}
    backend.create_guard("a.guard", rules=(rule,))
    changed = backend.update_guard("a.guard", defaultValue=True)
    assert changed["defaultValue"] is True
    assert [r["propertyName"] for r in changed["rules"]] == ["plan"]
    assert backend.guards() == [changed]


def test_limit_is_set_and_removed(backend: Backend) -> None:
    """Null removes a limit."""
    backend.create_guard("a.guard")
    limited = backend.update_guard("a.guard", rateLimit={"requestsPerMinute": 5})
    assert limited["rateLimit"] == {"requestsPerMinute": 5, "partitionProperties": []}
    assert "rateLimit" not in backend.update_guard("a.guard", rateLimit=None)


def test_deleted_guard_is_gone(backend: Backend, guards: str) -> None:
    """Neither the list nor the bundle nor a second deletion finds it."""
    backend.create_guard("a.guard")
    backend.delete_guard("a.guard")
    assert backend.guards() == []
    assert WireClient(backend).fetch().json()["guards"] == []
    assert refusal(backend.request("DELETE", f"{guards}/a.guard")) == (404, "name")


@pytest.mark.parametrize(
    ("method", "rest", "document"),
    [
        ("GET", "/nothing", None),
        ("PATCH", "/nothing", {"adopted": True}),
        ("DELETE", "/nothing", None),
        ("POST", "/nothing/adopt", None),
    ],
)
def test_unknown_guard_is_not_found(
    backend: Backend, guards: str, method: str, rest: str, document: Any
) -> None:
    """Each call about one guard says so if there is none."""
    response = backend.request(method, guards + rest, json=document)
    assert refusal(response) == (404, "name")


def test_guard_is_adopted_by_flipping(backend: Backend) -> None:
    """Adopting a guard that exists keeps its other fields."""
    backend.create_guard("a.guard", adopted=False, default_value=True)
    adopted = backend.adopt_guard("a.guard")
    assert (adopted["adopted"], adopted["defaultValue"]) == (True, True)
    assert backend.guards() == [adopted]


def test_observed_name_is_adopted_as_a_closed_guard(backend: Backend) -> None:
    """A name that clients asked for becomes an adopted guard without rules."""
    WireClient(backend).observe(observation("search/beta"))
    adopted = backend.adopt_guard("search/beta")
    assert adopted["adopted"] is True
    assert (adopted["defaultValue"], adopted["rules"]) == (False, [])
    assert WireClient(backend).fetch().json()["guards"] == [adopted]


def test_observed_name_that_fits_no_guard_is_not_adopted(
    backend: Backend, guards: str
) -> None:
    """Clients may ask for longer names than guards can have."""
    name = "x" * 201
    WireClient(backend).observe(observation(name))
    response = backend.request("POST", f"{guards}/{name}/adopt")
    assert refusal(response) == (422, "name")


@pytest.mark.parametrize(
    "name", ["a/b", "a/adopt", "ünï côdé", "100%", "a?b#c", "/", "adopt", "a b+c"]
)
def test_any_name_survives_the_way_through_the_path(
    backend: Backend, name: str
) -> None:
    """Slashes and special characters reach the right guard."""
    backend.create_guard(name, adopted=False)
    assert backend.adopt_guard(name)["adopted"] is True
    assert backend.update_guard(name, defaultValue=True)["name"] == name
    backend.delete_guard(name)
    assert backend.guards() == []


def test_environments_are_created_and_listed(backend: Backend) -> None:
    """A new environment appears with its refresh rate."""
    name = f"{backend.environment}-b.2"
    fields = {"name": name, "refreshRateSeconds": 0.5}
    created = backend.manage("POST", "environments", fields)
    assert (created["name"], created["refreshRateSeconds"]) == (name, 0.5)
    assert created in backend.manage("GET", "environments")["environments"]


def test_environment_that_exists_is_not_created_again(backend: Backend) -> None:
    """A second creation is refused."""
    fields = {"name": backend.environment}
    response = backend.request("POST", f"{MANAGE}/environments", json=fields)
    assert refusal(response) == (409, "name")


def test_refresh_rate_is_changed(backend: Backend) -> None:
    """The new rate is in the environment and in the bundle."""
    backend.set_refresh_rate(17)
    path = f"environments/{backend.environment}"
    assert backend.manage("GET", path)["refreshRateSeconds"] == 17
    assert WireClient(backend).fetch().json()["refreshRateSeconds"] == 17


def test_empty_change_of_an_environment_changes_nothing(backend: Backend) -> None:
    """What is not mentioned keeps its value."""
    backend.set_refresh_rate(17)
    backend.manage("PATCH", f"environments/{backend.environment}", {})
    path = f"environments/{backend.environment}"
    assert backend.manage("GET", path)["refreshRateSeconds"] == 17


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("GET", "/guards"),
        ("GET", "/signals"),
        ("GET", "/signals/summary"),
        ("GET", "/observations"),
        ("GET", "/polls"),
        ("GET", "/polls/summary"),
    ],
)
def test_unknown_environment_is_not_found(
    devserver: DevServer, method: str, rest: str
) -> None:
    """Each call about one environment says so if there is none."""
    response = devserver.request(method, f"{MANAGE}/environments/nowhere{rest}")
    assert refusal(response) == (404, "environment")


def test_token_is_told_once(backend: Backend) -> None:
    """The list of tokens knows whose they are and not what they are."""
    issued = backend.manage("POST", "tokens", {"environment": backend.environment})
    assert issued["token"].startswith("pct-")
    listed = backend.request("GET", f"{MANAGE}/tokens")
    assert issued["token"] not in listed.text
    assert {**issued, "token": None} in [
        {**token, "token": None} for token in listed.json()["tokens"]
    ]


def test_token_for_an_unknown_environment_is_refused(devserver: DevServer) -> None:
    """A token needs something to open."""
    fields = {"environment": "nowhere"}
    response = devserver.request("POST", f"{MANAGE}/tokens", json=fields)
    assert refusal(response) == (404, "environment")


def test_unknown_token_is_not_found(devserver: DevServer) -> None:
    """Disabling what is not there says so."""
    fields = {"disabled": True}
    response = devserver.request("PATCH", f"{MANAGE}/tokens/999999", json=fields)
    assert refusal(response) == (404, "id")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PUT", "/healthz", 405), ("GET", "/api/v1/x", 404)],
)
def test_unknown_routes_are_answered_in_the_same_shape(
    devserver: DevServer, method: str, path: str, status: int
) -> None:
    """An error looks the same wherever it comes from."""
    assert refusal(devserver.request(method, path)) == (status, None)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "[broken"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "10.0.0.1"},
    ],
)
def test_foreigners_cannot_manage(
    devserver: DevServer, headers: dict[str, str]
) -> None:
    """Host or origin give away a page in a local browser, a proxy its clients."""
    path = f"{MANAGE}/environments"
    fields = {"name": "made-by-a-page"}
    response = devserver.request("POST", path, json=fields, headers=headers)
    assert response.status_code in (400, 403)
    names = [e["name"] for e in devserver.manage("GET", "environments")["environments"]]
    assert "made-by-a-page" not in names


def test_own_web_page_can_manage(devserver: DevServer) -> None:
    """The page that comes with the server states the server's own origin."""
    response = devserver.request(
        "GET",
        f"{MANAGE}/environments",
        headers={"Origin": devserver.url, "Sec-Fetch-Site": "same-origin"},
    )
    assert response.status_code == 200
