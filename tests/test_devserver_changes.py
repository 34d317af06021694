"""The history of guards, undoing, trying out, export and import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clients import guard as wire_guard
from clients import offline
from liteguard.devserver.trials import Trial, try_guard
from wireclient import WireClient, observation

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend
    from devserver import DevServer

KEPT = 100
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "10", "9"])
)
RULE = st.fixed_dictionaries(
    {
        "propertyName": st.sampled_from("ab"),
        "operator": st.sampled_from(
            ["EQUALS", "NOT_EQUALS", "IN", "NOT_IN", "REGEX", "GT", "GTE", "LT", "LTE"]
        ),
        "values": st.lists(SCALARS, max_size=3),
        "result": st.booleans(),
        "enabled": st.booleans(),
    }
)


def changes(backend: Backend, guard: str = "a.guard") -> list[dict[str, Any]]:
    """Return a guard's history, the newest change first."""
    path = f"environments/{backend.environment}/changes?guard={guard}&limit=500"
    return list(backend.manage("GET", path)["changes"])


def undo(backend: Backend, change: dict[str, Any]) -> dict[str, Any]:
    """Take a change back."""
    path = f"environments/{backend.environment}/changes/{change['id']}/undo"
    return dict(backend.manage("POST", path))


def test_every_change_is_noted_with_before_and_after(backend: Backend) -> None:
    """Creation, changes, adoption and deletion are all there, in order."""
    WireClient(backend).observe(observation("a.guard"))
    backend.adopt_guard("a.guard")
    backend.update_guard("a.guard", defaultValue=True)
    backend.update_guard("a.guard", defaultValue=True)  # changes nothing
    backend.delete_guard("a.guard")
    deleted, opened, made = changes(backend)
    assert "before" not in made
    assert made["after"] == opened["before"]
    assert opened["after"]["defaultValue"] is True
    assert deleted["before"] == opened["after"]
    assert "after" not in deleted
    assert made["changedMs"] <= opened["changedMs"] <= deleted["changedMs"]


def test_undo_brings_back_what_was(backend: Backend) -> None:
    """A change, a deletion and a creation can be taken back, and so can the undoing."""
    backend.create_guard("a.guard")
    backend.update_guard("a.guard", defaultValue=True)
    undo(backend, changes(backend)[0])
    assert backend.guards()[0]["defaultValue"] is False
    undo(backend, changes(backend)[0])
    assert backend.guards()[0]["defaultValue"] is True
    backend.delete_guard("a.guard")
    undo(backend, changes(backend)[0])
    assert backend.guards()[0]["defaultValue"] is True
    undo(backend, changes(backend)[-1])
    assert backend.guards() == []


def test_undo_reaches_clients(backend: Backend) -> None:
    """It is a change like any other: the bundle gets a new version."""
    client = WireClient(backend)
    backend.create_guard("a.guard")
    etag = client.fetch().json()["etag"]
    undo(backend, changes(backend)[0])
    assert client.fetch(If_None_Match=etag).json()["guards"] == []


def test_unknown_change_cannot_be_undone(backend: Backend) -> None:
    """Nor can one of another environment."""
    other = f"{backend.environment}-other"
    backend.create_environment(other)
    backend.create_guard("a.guard", environment=other)
    path = f"/manage/v1/environments/{other}/changes"
    (change,) = backend.request("GET", path).json()["changes"]
    path = f"/manage/v1/environments/{backend.environment}/changes/{change['id']}/undo"
    assert backend.request("POST", path).status_code == 404
    assert len(backend.guards(environment=other)) == 1


def test_history_is_bounded(backend: Backend) -> None:
    """The newest hundred changes of each guard are kept."""
    backend.create_guard("a.guard")
    backend.create_guard("other")
    for number in range(KEPT + 5):
        backend.update_guard("a.guard", defaultValue=number % 2 == 0)
    assert len(changes(backend)) == KEPT
    assert len(changes(backend, "other")) == 1


@given(
    rules=st.lists(RULE, max_size=4),
    properties=st.dictionaries(st.sampled_from("ab"), SCALARS),
    default=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_trial_answers_as_the_client_does(
    rules: list[dict[str, Any]], properties: dict[str, Any], *, default: bool
) -> None:
    """Whatever the rules and properties: same answer, same reason, same rule."""
    document = wire_guard("a.guard", rules=rules, defaultValue=default)
    tried = try_guard(
        Trial.model_validate({"guard": document, "properties": properties})
    )
    decision = offline(document).evaluate("a.guard", properties=properties)
    assert tried.is_open == decision.is_open
    assert tried.reason == decision.reason.value
    assert tried.matched_rule_index == decision.matched_rule_index
    matching = [i for i, rule in enumerate(tried.rules) if rule.outcome == "matched"]
    assert matching[:1] == [i for i in [decision.matched_rule_index] if i >= 0]


@pytest.mark.parametrize(
    ("rule", "outcome", "told"),
    [
        ({"operator": "REGEX", "values": ["("]}, "never_matches", "regular expression"),
        ({"operator": "EQUALS", "values": []}, "never_matches", "no value"),
        (
            {"operator": "GT", "values": [True]},
            "never_matches",
            "no property can match",
        ),
        ({"operator": "EQUALS", "values": [1], "enabled": False}, "disabled", ""),
        ({"operator": "EQUALS", "values": [2]}, "not_matched", ""),
    ],
)
def test_trial_tells_why_a_rule_does_not_match(
    backend: Backend, rule: dict[str, Any], outcome: str, told: str
) -> None:
    """A rule that can never match says what is wrong with it."""
    guard = wire_guard("a.guard", rules=[{"propertyName": "a", **rule}])
    answer = backend.manage("POST", "trials", {"guard": guard, "properties": {"a": 1}})
    (tried,) = answer["rules"]
    assert tried["outcome"] == outcome
    assert told in (tried["problem"] or "")
    assert answer["reason"] == "default_value"


def test_trial_of_an_unadopted_guard_is_closed(backend: Backend) -> None:
    """Whatever stands in it, as for the client."""
    guard = {"name": "a.guard", "adopted": False, "defaultValue": True}
    answer = backend.manage("POST", "trials", {"guard": guard})
    assert (answer["isOpen"], answer["reason"]) == (False, "unadopted")


def test_export_is_a_seed_of_another_backend(backend: Backend, tmp_path: Path) -> None:
    """What one backend exports, another one starts with, the same to the last field."""
    from devserver import DevServer  # noqa: PLC0415 - pytest's fixture has this name

    rules = ({"propertyName": "a", "operator": "IN", "values": [1, None, "x"]},)
    limit = {"requestsPerMinute": 5, "partitionProperties": ["a"]}
    backend.create_guard("a/guard ü", rules=rules, rateLimit=limit)
    backend.set_refresh_rate(2.5)
    exported = backend.request("GET", "/manage/v1/export")
    assert backend.token not in exported.text
    seed = tmp_path / "seed.json"
    seed.write_text(exported.text)
    with DevServer(tmp_path, arguments=("--seed", str(seed))) as other:
        assert other.guards(environment=backend.environment) == backend.guards()
        again = {e["name"]: e for e in other.manage("GET", "export")["environments"]}
    assert again[backend.environment]["refreshRateSeconds"] == 2.5


def test_import_keeps_what_is_there_unless_told_otherwise(backend: Backend) -> None:
    """Guards are added, and replaced only on request; what it does not name stays."""
    backend.create_guard("there")
    backend.create_guard("unnamed")
    document = {
        "environments": [
            {
                "name": backend.environment,
                "refreshRateSeconds": 7,
                "guards": [{"name": "there", "defaultValue": True}, {"name": "new"}],
            }
        ]
    }
    done = backend.manage("POST", "import", document)
    assert done == {"added": 1, "replaced": 0, "kept": 1}
    assert {g["name"]: g["defaultValue"] for g in backend.guards()}["there"] is False
    done = backend.manage("POST", "import?replace=true", document)
    assert done == {"added": 0, "replaced": 1, "kept": 1}
    assert {g["name"]: g["defaultValue"] for g in backend.guards()} == {
        "there": True,
        "new": False,
        "unnamed": False,
    }
    shown = backend.manage("GET", f"environments/{backend.environment}")
    assert shown["refreshRateSeconds"] == 7


def test_import_takes_all_or_nothing(backend: Backend) -> None:
    """A document with a mistake at its end changes nothing, and names the field."""
    guards = [{"name": "good"}, {"name": "bad", "rules": [{"operator": "IS"}]}]
    document = {"environments": [{"name": backend.environment, "guards": guards}]}
    response = backend.request("POST", "/manage/v1/import", json=document)
    assert response.status_code == 422
    field = response.json()["error"]["field"]
    assert field.startswith("environments.0.guards.1.rules.0")
    assert backend.guards() == []


def test_two_tokens_can_be_valid_at_a_time(backend: Backend) -> None:
    """A third is refused until one is disabled, and cannot be enabled past that."""
    fields = {"environment": backend.environment}
    second = backend.manage("POST", "tokens", fields)
    refused = backend.request("POST", "/manage/v1/tokens", json=fields)
    assert (refused.status_code, refused.json()["error"]["field"]) == (
        409,
        "environment",
    )
    backend.manage("PATCH", f"tokens/{second['id']}", {"disabled": True})
    backend.manage("POST", "tokens", fields)
    path = f"/manage/v1/tokens/{second['id']}"
    assert backend.request("PATCH", path, json={"disabled": False}).status_code == 409
    assert WireClient(backend, second["token"]).fetch().status_code == 401


def test_last_use_of_a_token_is_told(backend: Backend, devserver: DevServer) -> None:
    """So that nobody disables one that is still in use."""
    fresh = backend.manage("POST", "tokens", {"environment": backend.environment})

    def last_used() -> Any:
        tokens = devserver.manage("GET", "tokens")["tokens"]
        return next(t["lastUsedMs"] for t in tokens if t["id"] == fresh["id"])

    assert last_used() is None
    WireClient(backend, fresh["token"]).fetch()
    assert last_used() >= fresh["createdMs"]
