"""The guide's and the published package's ways to make a client and to call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clients import FAST, TOKEN, guard, offline, rule
from liteguard import ClientOptions, LiteguardClient

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from backends import Backend

URL = "http://127.0.0.1:1"
FIELDS: dict[str, Any] = {"environment": "staging", "backend_url": URL, "quiet": True}


@pytest.mark.parametrize(
    "arguments",
    [
        (ClientOptions(**FIELDS),),
        (FIELDS,),
        (ClientOptions("staging", backend_url=URL, quiet=True),),
    ],
)
def test_options_are_given_as_object_or_dict(arguments: tuple[Any, ...]) -> None:
    """By position, as the published package takes them, and by keyword."""
    for client in (
        LiteguardClient(TOKEN, *arguments),
        LiteguardClient(TOKEN, options=arguments[0]),
        LiteguardClient(project_client_token=TOKEN, options=arguments[0]),
    ):
        assert client._options == ClientOptions(**FIELDS)


def test_options_are_given_by_keyword() -> None:
    """As the guide gives them; the token alone is enough."""
    assert LiteguardClient(TOKEN, **FIELDS)._options == ClientOptions(**FIELDS)
    assert LiteguardClient(TOKEN)._options == ClientOptions()


def test_keyword_beats_the_options_object() -> None:
    """What is nearer to the call counts."""
    client = LiteguardClient(TOKEN, FIELDS, environment="production")
    assert client._options == ClientOptions(**{**FIELDS, "environment": "production"})


def variables_of(backend: Backend, state_dir: Path) -> Mapping[str, str]:
    """Return all that a client needs, as environment variables."""
    rates = {f"LITEGUARD_{name.upper()}": str(rate) for name, rate in FAST.items()}
    return {**backend.variables(state_dir), **rates}


def test_environment_variables_are_enough(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, state_dir: Path
) -> None:
    """A client without any argument finds its backend, environment and folder."""
    backend.create_guard("open.guard", default_value=True)
    for name, text in variables_of(backend, state_dir).items():
        monkeypatch.setenv(name, text)
    with LiteguardClient() as client:
        assert client.is_open("open.guard")
        assert str(state_dir) in str(client.status().state_dir)
        assert client._options.flush_rate_seconds == FAST["flush_rate_seconds"]


@pytest.mark.parametrize("variable", ["LITEGUARD_ENV", "LITEGUARD_ENVIRONMENT"])
def test_environment_has_two_variables(
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    state_dir: Path,
    variable: str,
) -> None:
    """Both names reach the backend."""
    backend.create_guard("open.guard", default_value=True)
    for name, text in variables_of(backend, state_dir).items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("LITEGUARD_ENVIRONMENT")
    monkeypatch.setenv(variable, backend.environment)
    with LiteguardClient() as client:
        assert client.is_open("open.guard")


def test_argument_beats_variable_beats_default(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, state_dir: Path
) -> None:
    """A wrong variable does no harm where an argument says otherwise."""
    backend.create_guard("open.guard", default_value=True)
    monkeypatch.setenv("LITEGUARD_TOKEN", "pct-of-another-project")
    monkeypatch.setenv("LITEGUARD_ENV", "elsewhere")
    monkeypatch.setenv("LITEGUARD_BACKEND_URL", URL)
    monkeypatch.setenv("LITEGUARD_FLUSH_SIZE", "7")
    with LiteguardClient(**backend.options(state_dir)) as client:
        assert client.is_open("open.guard")
        assert client._options.flush_size == 7
        assert client._options.flush_buffer_multiplier == 4


def test_method_can_be_taken_as_a_function() -> None:
    """Bound methods are handed around in dependency injection."""
    check = offline(guard("a.guard", rules=[rule("plan", "pro")])).is_open
    assert check("a.guard", properties={"plan": "pro"})
    assert not check("a.guard")


def test_client_is_a_context_manager(backend: Backend, state_dir: Path) -> None:
    """It starts, gives itself, and shuts down, after an error as well."""
    client = LiteguardClient(**backend.options(state_dir))

    def fail() -> None:
        with client as started:
            assert started is client
            assert client.status().role == "leader"
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert client.status().role == "stopped"


def test_representation_names_backend_environment_and_role() -> None:
    """And not the token."""
    shown = repr(LiteguardClient(TOKEN, environment="staging", backend_url=URL))
    assert shown == f"<LiteguardClient of {URL} environment='staging' role=stopped>"
