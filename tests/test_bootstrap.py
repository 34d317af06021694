"""The bundle that an application brings along."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from clients import TOKEN, guard, running
from liteguard import ConfigurationError, LiteguardClient

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

BUNDLE: dict[str, Any] = {"guards": [guard("open.guard", defaultValue=True)]}


@pytest.mark.parametrize("form", ["dict", "path", "str"])
def test_bundle_is_given_as_dict_or_file(tmp_path: Path, form: str) -> None:
    """Checks answer from it before the client is started."""
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(BUNDLE))
    forms: dict[str, Any] = {"dict": BUNDLE, "path": path, "str": str(path)}
    client = LiteguardClient(TOKEN, bootstrap=forms[form])
    assert client.is_open("open.guard", fallback=False)
    assert client.evaluate("open.guard").reason == "default_value"
    status = client.status()
    assert (status.ready, status.guards, status.role) == (True, 1, "stopped")


def test_file_can_be_named_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So that an operator can bring one along."""
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(BUNDLE))
    monkeypatch.setenv("LITEGUARD_BOOTSTRAP", str(path))
    assert LiteguardClient(TOKEN).is_open("open.guard")


def test_bundle_of_the_backend_replaces_it(backend: Backend, state_dir: Path) -> None:
    """It is in force until the first fetch, and not a moment longer."""
    backend.create_guard("open.guard", default_value=False)
    backend.create_guard("new.guard", default_value=True)
    with running(backend, state_dir, bootstrap=BUNDLE) as client:
        assert not client.is_open("open.guard")
        assert client.is_open("new.guard")


def test_bundle_is_in_force_while_the_backend_is_unreachable(state_dir: Path) -> None:
    """Then a strict start succeeds, and no check answers the fallback."""
    client = LiteguardClient(
        TOKEN,
        backend_url="http://127.0.0.1:1",
        state_dir=str(state_dir),
        bootstrap=BUNDLE,
        quiet=True,
    )
    client.start(strict=True)
    assert client.is_open("open.guard")
    assert client.evaluate("open.guard", fallback=False).reason == "default_value"
    client.shutdown()


BAD: list[tuple[Any, str]] = [
    ({"guards": 5}, "guards"),
    ({}, "guards"),
    ([], "a path"),
    ({"guards": [{"name": object()}]}, "not JSON serializable"),
]


@pytest.mark.parametrize(("bundle", "named"), BAD)
def test_dict_that_is_no_bundle_is_refused(bundle: Any, named: str) -> None:
    """The error names the option and what is wrong with it."""
    with pytest.raises(ConfigurationError, match=named) as raised:
        LiteguardClient(TOKEN, bootstrap=bundle)
    assert raised.value.field == "bootstrap"


@pytest.mark.parametrize(
    ("content", "named"),
    [(None, "No such file"), (b"", "expected"), (b"{torn", "expected"), (b"[]", "exp")],
)
def test_file_that_is_no_bundle_is_refused(
    tmp_path: Path, content: bytes | None, named: str
) -> None:
    """The error names the file and what is wrong with it."""
    path = tmp_path / "bundle.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=named) as raised:
        LiteguardClient(TOKEN, bootstrap=path)
    assert raised.value.field == "bootstrap"
    assert str(raised.value).startswith(f"cannot use {path} as bootstrap: ")
    assert str(raised.value).endswith('as the backend sends it, {"guards": [...]}')


def test_one_bad_guard_loses_that_guard_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others answer, and one line names the bad one."""
    bad = {"name": "bad.guard", "adopted": True, "rules": "all of them"}
    client = LiteguardClient(TOKEN, bootstrap={"guards": [bad, *BUNDLE["guards"]]})
    assert client.is_open("open.guard")
    for _ in range(2):
        assert not client.is_open("bad.guard")
    assert caplog.text.count("bad.guard") == 1
