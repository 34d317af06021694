"""Who may manage a local backend that other machines can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devserver import DevServer, complaint
from liteguard.devserver import gate as gates
from liteguard.devserver.gate import MOST_FAILURES, MOST_SESSIONS, Gate
from liteguard.devserver.problems import RequestProblem
from wireclient import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "open sesame"  # noqa: S105 - made up for these tests
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
MANAGE = "/manage/v1/environments"
OPEN_TO_ALL = ["/", "/assets/app.js", "/healthz", "/manage/v1/session"]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """Run a backend for other machines, with a password."""
    folder = tmp_path_factory.mktemp("locked")
    arguments = ("--password", PASSWORD, "--host", "0.0.0.0")  # noqa: S104 - the point
    server = DevServer(folder, arguments=arguments)
    server.password = PASSWORD
    with server as running:
        yield running


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.test"])  # noqa: S104
def test_exposed_backend_needs_a_password(tmp_path: Path, host: str) -> None:
    """It does not start without one, and the complaint says how to set it."""
    line = complaint(tmp_path, "--port", "0", "--host", host)
    assert "LITEGUARD_DEV_PASSWORD" in line
    assert not (tmp_path / "dev.db").exists()


def test_password_is_taken_from_the_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users of the machine do not see it in the process list."""
    monkeypatch.setenv("LITEGUARD_DEV_PASSWORD", PASSWORD)
    server = DevServer(tmp_path)
    server.password = PASSWORD
    with server:
        assert server.request("GET", MANAGE, auth=None).status_code == 401
        assert server.request("GET", MANAGE).status_code == 200


def test_management_asks_for_the_password(locked: DevServer) -> None:
    """Every call does, the stream of news included, and clients need only a token."""
    description = locked.request("GET", "/openapi.json").json()
    reads = [
        path.replace("{environment}", "default").replace("{name}", "a")
        for path, methods in description["paths"].items()
        if path.startswith("/manage/") and "get" in methods
    ]
    statuses = {
        path: locked.request("GET", path, auth=None).status_code for path in reads
    }
    assert statuses.pop("/manage/v1/session") == 200
    assert set(statuses.values()) == {401}
    assert WireClient(locked).fetch().status_code == 200


@pytest.mark.parametrize("path", OPEN_TO_ALL)
def test_page_itself_is_open_to_all(locked: DevServer, path: str) -> None:
    """The files hold nothing secret, and the form must come from somewhere."""
    assert locked.request("GET", path, auth=None).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic !", "Basic " + "OndyAuZw==", "Bearer " + PASSWORD, "Basic /w=="],
)
def test_wrong_credentials_are_refused(locked: DevServer, authorization: str) -> None:
    """Malformed ones count as wrong, and nothing is repeated."""
    headers = {"Authorization": authorization}
    response = locked.request("GET", MANAGE, headers=headers, auth=None)
    assert response.status_code == 401
    assert PASSWORD not in response.text


def test_host_may_be_any_behind_a_password(locked: DevServer) -> None:
    """Another machine names this one as it likes, and its page may manage."""
    headers = {"Host": "backend.example", "Origin": "http://backend.example"}
    assert locked.request("GET", MANAGE, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_page_of_another_site_is_refused_with_the_password(
    locked: DevServer, headers: dict[str, str]
) -> None:
    """A browser that knows the password does not lend it to other pages."""
    response = locked.request("POST", MANAGE, json={"name": "theirs"}, headers=headers)
    assert response.status_code == 403
    signing_in = {"password": PASSWORD}
    path = "/manage/v1/session"
    response = locked.request("POST", path, json=signing_in, headers=headers, auth=None)
    assert response.status_code == 403


def test_session_lasts_until_it_is_closed(locked: DevServer) -> None:
    """The cookie alone opens the management API; closing ends it at the server."""
    path = "/manage/v1/session"
    signing_in = {"password": PASSWORD}
    answer = locked.request("POST", path, json=signing_in, auth=None)
    cookies = {"liteguard_session": answer.cookies["liteguard_session"]}
    attributes = answer.headers["Set-Cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=strict" in attributes
    assert locked.request("GET", MANAGE, cookies=cookies, auth=None).status_code == 200
    locked.request("DELETE", path, cookies=cookies, auth=None)
    assert locked.request("GET", MANAGE, cookies=cookies, auth=None).status_code == 401


def test_password_is_neither_logged_nor_stored(locked: DevServer) -> None:
    """Nor is it told when it was wrong by one letter."""
    locked.request("GET", MANAGE)
    stored = b"".join(path.read_bytes() for path in locked.folder.glob("dev.db*"))
    assert PASSWORD.encode() not in stored
    assert PASSWORD not in locked.log()


def test_guessing_is_slowed_down() -> None:
    """After ten wrong passwords even the right one has to wait."""
    gate = Gate(PASSWORD)
    for _ in range(MOST_FAILURES):
        with pytest.raises(RequestProblem, match="wrong"):
            gate.check_password("guess", HERE)
    with pytest.raises(RequestProblem, match="wait 60 seconds") as refusal:
        gate.check_password(PASSWORD, HERE)
    assert refusal.value.status == 429
    gate.check_password(PASSWORD, ELSEWHERE)  # who guesses makes nobody else wait


def test_addresses_of_guessers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that guessed longest ago is forgotten first."""
    monkeypatch.setattr(gates, "MOST_ADDRESSES", 1)
    gate = Gate(PASSWORD)
    for address in [HERE] * MOST_FAILURES + [ELSEWHERE]:
        with pytest.raises(RequestProblem, match="wrong"):
            gate.check_password("guess", address)
    gate.check_password(PASSWORD, HERE)


def test_guessing_may_go_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute after the first of the wrong ones the right one is taken."""
    gate = Gate(PASSWORD)
    for _ in range(MOST_FAILURES):
        with pytest.raises(RequestProblem, match="wrong"):
            gate.check_password("guess", HERE)
    monkeypatch.setattr(gates, "FAILURE_SECONDS", 0.0)
    gate.check_password(PASSWORD, HERE)


def test_sessions_expire_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes when there are too many, and none lasts for ever."""
    gate = Gate(PASSWORD)
    first, second = gate.open_session(PASSWORD, HERE), gate.open_session(PASSWORD, HERE)
    for _ in range(MOST_SESSIONS - 1):
        gate.open_session(PASSWORD, HERE)
    assert (gate.is_open_to(first), gate.is_open_to(second)) == (False, True)
    monkeypatch.setattr(gates, "SESSION_SECONDS", 0.0)
    assert not gate.is_open_to(gate.open_session(PASSWORD, HERE))


@pytest.mark.parametrize("password", ["", "pässword", "\udcff"])
def test_any_text_can_be_given_as_a_password(password: str) -> None:
    """A wrong one is refused as such, whatever it is made of."""
    with pytest.raises(RequestProblem, match="wrong"):
        Gate(PASSWORD).check_password(password, HERE)
