"""Seed files of ``liteguard dev``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devserver import DevServer, complaint, read_announcement, start_program
from wireclient import WireClient

if TYPE_CHECKING:
    from pathlib import Path

EXIT_SECONDS = 30.0
SEED = {
    "environments": [
        {
            "name": "default",
            "refreshRateSeconds": 5,
            "guards": [{"name": "a.guard", "adopted": True}],
        },
        {"name": "staging", "guards": [{"name": "b.guard"}], "tokens": ["pct-staging"]},
    ],
    "tokens": ["pct-everywhere"],
}


def write_seed(folder: Path, seed: Any) -> Path:
    """Write a seed file and return its path."""
    path = folder / "seed.json"
    path.write_text(seed if isinstance(seed, str) else json.dumps(seed))
    return path


def test_seed_brings_environments_guards_and_tokens(tmp_path: Path) -> None:
    """Everything in the file is there once the server accepts requests."""
    path = write_seed(tmp_path, SEED)
    process = start_program(tmp_path, "--port", "0", "--seed", str(path))
    announcement = read_announcement(process)
    assert announcement is not None
    process.terminate()
    process.communicate(timeout=EXIT_SECONDS)
    with DevServer(tmp_path, refresh_rate_seconds=5) as server:
        served = WireClient(server, "pct-everywhere").fetch().json()
        assert served["refreshRateSeconds"] == 5
        assert [guard["name"] for guard in served["guards"]] == ["a.guard"]
        staging = WireClient(server, "pct-staging")
        assert staging.fetch().status_code == 403
        staging.environment = "staging"
        assert [g["name"] for g in staging.fetch().json()["guards"]] == ["b.guard"]


def test_seed_overwrites_nothing(tmp_path: Path) -> None:
    """At the next start only what is missing is added."""
    path = write_seed(tmp_path, SEED)
    with DevServer(tmp_path, arguments=("--seed", str(path))) as server:
        server.update_guard("a.guard", defaultValue=True)
        server.delete_guard("b.guard", environment="staging")
        server.set_refresh_rate(17)
        server.restart()
        assert [g["defaultValue"] for g in server.guards()] == [True]
        assert [g["name"] for g in server.guards(environment="staging")] == ["b.guard"]
        rate = server.manage("GET", "environments/default")["refreshRateSeconds"]
        assert rate == 17


@pytest.mark.parametrize(
    ("seed", "told"),
    [
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ({"environment": []}, "environment"),
        ({"environments": [{"name": "a b"}]}, "environments.0.name"),
        (
            {"environments": [{"name": "a", "guards": [{"name": ""}]}]},
            "environments.0.guards.0.name",
        ),
        ({"tokens": ["with space"]}, "tokens.0"),
    ],
)
def test_malformed_seed_is_told_in_one_line(
    tmp_path: Path, seed: Any, told: str
) -> None:
    """The line names the file and the field."""
    path = write_seed(tmp_path, seed)
    line = complaint(tmp_path, "--port", "0", "--seed", str(path))
    assert str(path) in line
    assert told in line


def test_missing_seed_is_told_in_one_line(tmp_path: Path) -> None:
    """The line names the file."""
    line = complaint(tmp_path, "--port", "0", "--seed", str(tmp_path / "none.json"))
    assert "none.json: No such file" in line
