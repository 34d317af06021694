"""The published package 0.7, unchanged, against the local server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import liteguard
from devserver import DevServer
from published import VERSION, finish, start_published
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

PROGRAM = """
import importlib.metadata, json, sys
from liteguard import ClientOptions, LiteguardClient, Options

url, token = sys.argv[1:]
client = LiteguardClient(token, ClientOptions(
    environment="default", backend_url=url, quiet=False, refresh_rate_seconds=1,
))
client.start()
answers = {
    "pro": client.is_open("checkout.new", Options(properties={"plan": "pro"})),
    "free": client.is_open("checkout.new", Options(properties={"plan": "free"})),
    "unadopted": client.is_open("search.beta"),
}
client.flush_signals()
sys.stdin.read()
client.shutdown()
version = importlib.metadata.version("liteguard")
print(json.dumps({"version": version, "answers": answers}))
"""

NAMES = """
import json, liteguard

def public(holder):
    return [name for name in dir(holder) if not name.startswith("_")]

names = {"module": liteguard.__all__}
for holder in (liteguard.LiteguardClient, liteguard.LiteguardScope):
    names[holder.__name__] = public(holder)
print(json.dumps(names))
"""
MIGRATING = Path(__file__).parent.parent / "docs" / "migrating.md"


@pytest.fixture(scope="module")
def server() -> Iterator[DevServer]:
    """Run a backend with one adopted guard that has one rule."""
    rule = {
        "propertyName": "plan",
        "operator": "EQUALS",
        "values": ["pro"],
        "result": True,
    }
    with DevServer() as running:
        running.create_guard("checkout.new", rules=(rule,))
        yield running


@pytest.fixture(scope="module")
def outcome(server: DevServer) -> dict[str, Any]:
    """Run the program until its second fetch and return what it printed."""
    process = start_published(PROGRAM, server.url, server.token)
    try:
        until(lambda: server.poll_summary()["notModified"] or process.poll())
    finally:
        printed = finish(process)
    answers: dict[str, Any] = json.loads(printed)
    return answers


def test_the_published_version_is_the_one_that_runs(outcome: dict[str, Any]) -> None:
    """The program imports the published package and not this one."""
    assert outcome["version"] == VERSION


def test_published_client_answers_by_the_rule(outcome: dict[str, Any]) -> None:
    """An adopted guard is open where its rule matches and closed elsewhere."""
    assert outcome["answers"]["pro"] is True
    assert outcome["answers"]["free"] is False


@pytest.mark.usefixtures("outcome")
def test_published_client_fetches_once_and_then_asks_for_changes(
    server: DevServer,
) -> None:
    """The first fetch brings the bundle; every later one is answered with 304."""
    first, *later = [poll["status"] for poll in server.polls()]
    assert first == 200
    assert set(later) == {304}


@pytest.mark.usefixtures("outcome")
def test_signals_of_the_published_client_are_stored(server: DevServer) -> None:
    """Both checks of the adopted guard arrive, once each, with their properties."""
    signals = server.signals()
    assert [
        (signal["guardName"], signal["properties"], signal["result"])
        for signal in signals
    ] == [
        ("checkout.new", {"plan": "pro"}, True),
        ("checkout.new", {"plan": "free"}, False),
    ]
    assert {signal["deliveries"] for signal in signals} == {1}
    assert {signal["kind"] for signal in signals} == {"guard_check"}


@pytest.mark.usefixtures("outcome")
def test_observation_of_the_published_client_is_stored(server: DevServer) -> None:
    """The unadopted guard is no signal and is known by name and count."""
    observations = server.observations()
    assert list(observations) == ["search.beta"]
    assert observations["search.beta"]["checkCount"] == 1


@pytest.mark.usefixtures("outcome")
def test_published_client_gets_no_error_answers(server: DevServer) -> None:
    """The server has nothing to complain about."""
    assert server.log() == ""


def test_published_names_are_exported_or_named_as_left_out() -> None:
    """The page for those who change over lists every name that is not here."""
    names = json.loads(finish(start_published(NAMES)))
    page = MIGRATING.read_text()
    missing = set(names["module"]) - set(liteguard.__all__)
    assert {name for name in missing if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("name", ["LiteguardClient", "LiteguardScope"])
def test_published_methods_are_all_there(name: str) -> None:
    """Each method and property of the published classes has its like here."""
    names = json.loads(finish(start_published(NAMES)))
    assert set(names[name]) - set(dir(getattr(liteguard, name))) == set()
