"""Starting and stopping ``liteguard dev``."""

from __future__ import annotations

import signal as signals
import socket
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from devserver import DevServer, complaint, read_announcement, start_program
from liteguard.devserver.serving import listen
from wireclient import WireClient, signal

if TYPE_CHECKING:
    from pathlib import Path

EXIT_SECONDS = 30.0
# The server answers the expectation when it waits for the body.
HALF_A_REQUEST = b"""POST /api/v1/guards HTTP/1.1\r
Host: 127.0.0.1\r
Content-Length: 9\r
Expect: 100-continue\r
\r
"""


def test_announcement_is_one_line_of_json(tmp_path: Path) -> None:
    """It tells url, token, pid and environment, and nothing else is printed."""
    process = start_program(tmp_path, "--port", "0")
    announcement = read_announcement(process)
    assert announcement is not None
    process.terminate()
    rest, _ = process.communicate(timeout=EXIT_SECONDS)
    assert set(announcement) == {"url", "token", "pid", "environment"}
    assert announcement["pid"] == process.pid
    assert announcement["environment"] == "default"
    assert announcement["token"].startswith("pct-")
    assert rest == ""
    assert (tmp_path / "stderr").read_text() == ""


def test_server_listens_on_loopback_only(devserver: DevServer) -> None:
    """The address is not reachable from other machines."""
    assert urlsplit(devserver.url).hostname == "127.0.0.1"


def test_server_can_listen_on_ipv6(tmp_path: Path) -> None:
    """The url is one that clients can use as it is."""
    with DevServer(tmp_path, arguments=("--host", "::1")) as server:
        assert server.url.startswith("http://[::1]:")
        assert server.request("GET", "/healthz").status_code == 200


@pytest.mark.parametrize("number", [signals.SIGTERM, signals.SIGINT])
def test_signal_ends_the_server_cleanly(
    tmp_path: Path, number: signals.Signals
) -> None:
    """Exit status 0 and no complaint, even with an idle connection open."""
    process = start_program(tmp_path, "--port", "0")
    announcement = read_announcement(process)
    assert announcement is not None
    with requests.Session() as session:
        session.trust_env = False
        session.get(announcement["url"] + "/healthz")
        process.send_signal(number)
        process.communicate(timeout=EXIT_SECONDS)
    assert process.returncode == 0
    assert (tmp_path / "stderr").read_text() == ""


def test_signal_ends_the_server_with_half_a_request_open(tmp_path: Path) -> None:
    """A client that never finishes its request does not hold the server."""
    process = start_program(tmp_path, "--port", "0")
    announcement = read_announcement(process)
    assert announcement is not None
    address = urlsplit(announcement["url"])
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(HALF_A_REQUEST)
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        process.terminate()
        process.communicate(timeout=EXIT_SECONDS)
    assert process.returncode == 0


def test_signal_ends_the_server_with_a_page_open(tmp_path: Path) -> None:
    """The page's stream of news ends with the server, without a complaint."""
    process = start_program(tmp_path, "--port", "0")
    announcement = read_announcement(process)
    assert announcement is not None
    with requests.Session() as session:
        session.trust_env = False
        stream = session.get(announcement["url"] + "/manage/v1/events", stream=True)
        lines = stream.iter_lines(chunk_size=1)
        assert next(lines) == b"data: []"
        process.terminate()
        for _ in lines:
            pass
        process.communicate(timeout=EXIT_SECONDS)
        stream.close()
    assert process.returncode == 0
    assert (tmp_path / "stderr").read_text() == ""


def test_everything_survives_a_kill(tmp_path: Path) -> None:
    """What was answered with success is there after SIGKILL."""
    with DevServer(tmp_path) as server:
        client = WireClient(server)
        server.create_guard("a.guard")
        client.send(signal("s1"))
        client.fetch()
        server.kill()
        server.start()
        assert [g["name"] for g in server.guards()] == ["a.guard"]
        assert server.signal_summary()["distinct"] == 1
        assert server.poll_count() == 1


def test_etag_survives_a_restart(tmp_path: Path) -> None:
    """Clients do not fetch everything again, and token and url stay."""
    with DevServer(tmp_path) as server:
        server.create_guard("a.guard")
        before = (server.url, server.token)
        etag = WireClient(server).fetch().json()["etag"]
        server.restart()
        assert (server.url, server.token) == before
        assert WireClient(server).fetch(If_None_Match=etag).status_code == 304


def test_each_start_issues_a_fresh_token(tmp_path: Path) -> None:
    """Without a given token the earlier one stays valid beside the new one."""
    with DevServer(tmp_path) as server:
        first = server.token
        server.token = ""
        server.restart()
        assert server.token != first
        assert WireClient(server, first).fetch().status_code == 200
        assert WireClient(server).fetch().status_code == 200


def test_token_is_taken_from_the_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Application and backend can share one setting."""
    monkeypatch.setenv("LITEGUARD_TOKEN", "pct-shared")
    with DevServer(tmp_path) as server:
        assert server.token == "pct-shared"  # noqa: S105 - made up for this test
        assert WireClient(server).fetch().status_code == 200


def test_token_is_for_the_environment_of_the_option(tmp_path: Path) -> None:
    """The environment is created, and the default one stays closed."""
    with DevServer(tmp_path, environment="staging") as server:
        client = WireClient(server)
        assert client.fetch().status_code == 200
        client.environment = "default"
        assert client.fetch().status_code == 403


def test_tokens_are_neither_logged_nor_stored(tmp_path: Path) -> None:
    """Not even with every request logged and some of them wrong."""
    with DevServer(tmp_path, arguments=("--log-requests",)) as server:
        client = WireClient(server)
        client.fetch()
        client.call("signals", {"signals": 5})
        client.post("guards", b"{" + server.token.encode())
        WireClient(server, "pct-wrong").fetch()
        assert "POST /api/v1/guards" in server.log()
        assert server.token not in server.log()
        assert "pct-wrong" not in server.log()
        token = server.token.encode()
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("dev.db*"))
    assert token not in stored


def test_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Properties of users are in it."""
    with DevServer(tmp_path):
        modes = {path.stat().st_mode & 0o077 for path in tmp_path.glob("dev.db*")}
    assert modes == {0}


def test_port_in_use_is_told_in_one_line(tmp_path: Path, devserver: DevServer) -> None:
    """No traceback, and the exit status says that nothing runs."""
    port = urlsplit(devserver.url).port
    line = complaint(tmp_path, "--port", str(port))
    assert f"cannot listen on 127.0.0.1 port {port}" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--environment", "a b"), "environment"),
        (("--token", "a b"), "token"),
        (("--host", "999.999.999.999", "--password", "x"), "cannot listen"),
        (("--db", "/nonexistent/folder/dev.db"), "/nonexistent/folder/dev.db"),
        (("--db", "."), "directory"),
    ],
)
def test_unusable_option_is_told(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    """The complaint names what is wrong, without a traceback."""
    process = start_program(tmp_path, "--port", "0", *arguments)
    process.communicate(timeout=EXIT_SECONDS)
    complaint = (tmp_path / "stderr").read_text()
    assert process.returncode == 2
    assert told in complaint
    assert "Traceback" not in complaint


def test_file_that_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    """It is left as it is."""
    (tmp_path / "dev.db").write_text("notes\n" * 1000)
    assert "dev.db: file is not a database" in complaint(tmp_path, "--port", "0")
    assert (tmp_path / "dev.db").read_text() == "notes\n" * 1000


def test_token_of_another_environment_is_told_in_one_line(tmp_path: Path) -> None:
    """A token given again for another environment does not change hands."""
    with DevServer(tmp_path) as server:
        server.stop()
        options = ("--environment", "staging", "--token", server.token)
        line = complaint(tmp_path, "--port", "0", *options)
    assert "the token is not for this environment" in line
    assert server.token not in line


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Accepted connections send small packets at once, or each answer takes 40 ms."""
    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_two_servers_on_one_database_agree(tmp_path: Path) -> None:
    """What is written through one is served by the other, at once."""
    with DevServer(tmp_path) as first, DevServer(tmp_path) as second:
        client = WireClient(second)
        before = client.fetch().json()["etag"]
        first.create_guard("a.guard")
        after = client.fetch(If_None_Match=before)
        assert [g["name"] for g in after.json()["guards"]] == ["a.guard"]


def test_helper_tells_why_a_server_did_not_start(tmp_path: Path) -> None:
    """The failure of a test shows what the server complained about."""
    server = DevServer(tmp_path, arguments=("--nonsense",))
    with pytest.raises(AssertionError, match="No such option"):
        server.__enter__()


def test_helper_kills_a_stopped_process(tmp_path: Path) -> None:
    """A server that hangs does not hold the tests."""
    with DevServer(tmp_path) as server:
        subprocess.run(["kill", "-STOP", str(server.pid)], check=True)
    assert server.log() == ""
