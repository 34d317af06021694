from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from liteguard.demo.calls import CallError, call
from liteguard.demo.patience import DemoError, Interrupted, Patience
from liteguard.demo.processes import Child, clean_variables
from liteguard.demo.traffic import usual_period

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON_SECONDS = 20.0
STUBBORN = """\
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.fork(), flush=True)
time.sleep(60)
"""


class Echo(BaseHTTPRequestHandler):
    """Answers with what was sent, or as the path says."""

    def do_POST(self) -> None:
        """Answer a request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/cut":
            return  # closes the connection without a word
        self.send_response(int(self.path.strip("/") or 200))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def address() -> Iterator[str]:
    """Serve `Echo` and return where."""
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield "{}:{}".format(*server.server_address)
        server.shutdown()
        thread.join()


@pytest.fixture
def patience() -> Iterator[Patience]:
    """Return a patience that heeds signals."""
    patience = Patience()
    with patience.heeding_signals():
        yield patience


def test_call_decodes_the_answer(address: str) -> None:
    """A document goes there and back."""
    assert call(address, "POST", "/", {"a": [1]}) == {"a": [1]}


@pytest.mark.parametrize("path", ["/cut", "/500"])
def test_call_tells_that_the_server_may_have_acted(address: str, path: str) -> None:
    """A request that was sent and failed has an outcome that nobody knows."""
    with pytest.raises(CallError) as caught:
        call(address, "POST", path, {})
    assert caught.value.was_sent


def test_call_tells_that_nothing_was_sent() -> None:
    """Without a connection the server cannot have acted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "{}:{}".format(*listener.getsockname())
    with pytest.raises(CallError) as caught:
        call(address, "POST", "/", {})
    assert not caught.value.was_sent


def test_waiting_ends_with_what_was_found(patience: Patience) -> None:
    """A wait returns the first true value of its condition."""
    values = iter([0, 0, 7])
    assert patience.until("a number", lambda: next(values), SOON_SECONDS) == 7


def test_waiting_in_vain_says_for_what(patience: Patience) -> None:
    """A deadline ends the wait with a message for the user."""
    with pytest.raises(DemoError, match=r"waited 0\.05 s in vain: no leader"):
        patience.until("no leader", lambda: None, 0.05)


def test_waiting_ends_when_what_is_watched_fails(patience: Patience) -> None:
    """The failure of a process is not waited out."""

    def fail() -> None:
        raise DemoError("it has ended")

    patience.watch(fail)
    with pytest.raises(DemoError, match="it has ended"):
        patience.pause(SOON_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_raised_by_the_next_wait(
    patience: Patience, number: signal.Signals
) -> None:
    """A signal between two waits interrupts nothing but the second."""
    os.kill(os.getpid(), number)
    with pytest.raises(Interrupted) as caught:
        patience.pause(SOON_SECONDS)
    assert caught.value.number == number


def test_signals_are_handled_as_before_afterwards() -> None:
    """Handlers are restored, and signals that were ignored stay ignored."""
    before = signal.getsignal(signal.SIGINT)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Patience().heeding_signals():
            assert signal.getsignal(signal.SIGINT) is not before
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGHUP, hangup)


def is_alive(pid: int) -> bool:
    """Return whether a process runs, zombies apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_child_that_does_not_end_is_killed_with_its_children(
    tmp_path: Path, patience: Patience
) -> None:
    """Who ignores SIGTERM gets SIGKILL, and so does whom it has forked."""
    command = [sys.executable, "-c", STUBBORN]
    with Child(
        "stubborn", command, folder=tmp_path, variables={}, stop_seconds=0.1
    ) as child:
        read = child.output_path.read_text
        patience.until("no pids", lambda: read().count("\n") == 2, SOON_SECONDS)
        pids = [child.pid, *filter(None, map(int, read().split()))]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
    patience.until("it lives", lambda: not any(map(is_alive, pids)), SOON_SECONDS)


def test_child_that_ended_shows_its_log(tmp_path: Path, patience: Patience) -> None:
    """Its status and its last lines become the message."""
    command = [sys.executable, "-c", "import sys; sys.exit('out of luck')"]
    with Child("poor", command, folder=tmp_path, variables={}) as child:
        patience.watch(child.check)
        with pytest.raises(DemoError, match="poor ended with status 1") as caught:
            patience.pause(SOON_SECONDS)
    assert str(caught.value).splitlines()[1:] == ["  out of luck"]


def test_children_get_no_settings_of_other_work(tmp_path: Path) -> None:
    """Tokens, servers' arguments and proxies of the user stay with the user."""
    mine = {
        "LITEGUARD_TOKEN": "pct-secret",
        "GUNICORN_CMD_ARGS": "--workers 99",
        "https_proxy": "http://proxy:3128",
        "HTTP_PROXY": "http://proxy:3128",
        "HOME": "/home/me",
    }
    output = tmp_path / "kept.out"
    assert set(clean_variables(mine)) - {"PYTHONPATH"} == {"HOME"}
    command = [sys.executable, "-c", "import os; print(os.environ['HERE'])"]
    with Child("kept", command, folder=tmp_path, variables={"HERE": "x"}):
        Patience().until("no output", output.read_text, SOON_SECONDS)
    assert output.read_text() == "x\n"


def test_children_find_the_same_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths to packages become absolute, since children run elsewhere."""
    monkeypatch.chdir("/")
    kept = clean_variables({"PYTHONPATH": "tmp::/usr"})
    assert kept["PYTHONPATH"].split(os.pathsep)[-2:] == ["/tmp", "/usr"]  # noqa: S108 - not written


def test_bursts_grow_rarer_with_the_number_of_workers() -> None:
    """At most fifty requests a second are sent, however many workers there are."""
    assert usual_period(4) == 0.1
    assert usual_period(32) == 32 / 50
