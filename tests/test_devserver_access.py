"""Which token opens which environment of the local backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from wireclient import CALLS, WireClient, observation, signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends import Backend
    from devserver import DevServer


@pytest.fixture
def client(backend: Backend) -> WireClient:
    """Return a client of this test's environment."""
    return WireClient(backend)


@pytest.fixture
def token_for_all(devserver: DevServer) -> Iterator[str]:
    """Return a token for all environments, of which two may be valid at a time."""
    issued = devserver.manage("POST", "tokens", {"environment": None})
    yield issued["token"]
    devserver.manage("PATCH", f"tokens/{issued['id']}", {"disabled": True})


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
    devserver: DevServer, token_for_all: str
) -> None:
    """A client that names none and has a token for all gets the one called default."""
    default = WireClient(devserver).fetch().json()
    client = WireClient(devserver, token_for_all)
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
    backend: Backend, token_for_all: str, path: str, content: dict[str, Any]
) -> None:
    """A token created without an environment is good everywhere."""
    client = WireClient(backend, token_for_all)
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
