from __future__ import annotations

import os
import pty
import re
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
import requests
from click.testing import CliRunner

from demonstration import Demonstration
from liteguard.demo.command import demo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

BRIEFLY = ("--seconds", "1")
WORKER = re.compile(r"pid (\d+)  role (\w+) .* answer (\w+)  checks (\d+)")


class Ended(NamedTuple):
    """What a demo left when it had ended by itself."""

    status: int
    lines: list[str]
    errors: str
    leftovers: list[str]

    def numbers(self, text: str) -> list[float]:
        """Return the numbers in the line that contains *text*."""
        (line,) = (line for line in self.lines if text in line)
        return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", line)]

    def workers(self) -> list[tuple[str, ...]]:
        """Return pid, role, answer and checks of each line about a worker."""
        matches = map(WORKER.search, self.lines)
        return [match.groups() for match in matches if match]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Run the demo to its end, without a terminal."""
    with Demonstration(tmp_path_factory.mktemp("demo"), *BRIEFLY) as running:
        status = running.finish()
        return Ended(status, running.lines, running.errors(), running.leftovers())


def test_demo_keeps_every_promise(ended: Ended) -> None:
    """With nobody interfering all is as promised, and the exit status says so."""
    assert (ended.status, ended.errors) == (0, "")
    assert [line for line in ended.lines if "\N{BALLOT X}" in line] == []
    assert "All 6 promises kept." in ended.lines


def test_demo_leaves_no_process_and_no_file(ended: Ended) -> None:
    """What it started has ended, and what it wrote is removed."""
    assert ended.leftovers == []


def test_demo_shows_the_killed_worker_and_its_successor(ended: Ended) -> None:
    """Four workers are seen, one of them is killed, and a fifth joins."""
    workers = ended.workers()
    assert len({pid for pid, *_ in workers}) == 5
    assert len({pid for pid, role, *_ in workers if role == "killed"}) == 1
    assert len({pid for pid, role, *_ in workers if role == "leader"}) == 2


def test_demo_shows_every_worker_following(ended: Ended) -> None:
    """At the end each living worker answers what the backend was last told."""
    last = {pid: (role, answer) for pid, role, answer, _ in ended.workers()}
    living = [answer for role, answer in last.values() if role != "killed"]
    assert living == ["closed"] * 4


def test_demo_counts_each_check_once(ended: Ended) -> None:
    """As many signals are delivered as checks were made, those cut off aside."""
    answered, cut_off, delivered, _, dropped = ended.numbers("left by the killed")
    assert answered > 0
    assert answered <= delivered <= answered + cut_off
    assert dropped == 0


def test_demo_sets_polls_beside_those_of_separate_pollers(ended: Ended) -> None:
    """The host polls at most once an interval and once more at start and takeover."""
    polls, seconds, workers, separate = ended.numbers("separate pollers")
    assert polls <= seconds / 0.9 + 2
    assert separate >= workers * int(seconds)


def test_demo_notices_a_check_that_it_has_not_made(tmp_path: Path) -> None:
    """Signals of somebody else's checks break a promise, and the exit status is 1."""
    with Demonstration(tmp_path, *BRIEFLY) as running:
        line = running.read_until("gunicorn --preload with 4 workers")
        running.read_until("workers answer")
        address = line.split(": ")[1].partition(",")[0]
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(5):
                session.get(f"{address}/check", timeout=15).raise_for_status()
        assert running.finish() == 1
        assert "  \N{BALLOT X} no check was counted twice" in running.lines
        assert "1 of 6 promises broken." in running.lines
        assert running.leftovers() == []


def test_demo_tells_when_its_backend_dies(tmp_path: Path) -> None:
    """The end of a process ends the demo, which says whose and shows the log."""
    with Demonstration(tmp_path) as running:
        line = running.read_until("backend: ")
        running.read_until("workers answer")
        os.kill(int(line.rpartition(" ")[2]), signal.SIGKILL)
        assert running.finish() == 1
        errors = running.errors()
        assert "backend ended with status -9" in errors
        assert "its log ends with:" in errors
        assert "Traceback" not in errors
        assert running.leftovers() == []


def test_ended_by_sigterm_the_demo_cleans_up(tmp_path: Path) -> None:
    """A demo that is told to end while it runs takes everything with it."""
    with Demonstration(tmp_path) as running:
        running.read_until("workers answer")
        assert len(running.processes()) >= 6
        running.process.terminate()
        assert running.finish() == 128 + signal.SIGTERM
        assert running.errors() == ""
        assert running.leftovers() == []


def change_by_hand(running: Demonstration) -> None:
    """Turn the guard on as the demo suggests."""
    guard = running.read_until("/guards/").strip()
    with requests.Session() as session:
        session.trust_env = False
        session.patch(guard, json={"defaultValue": True}, timeout=15).raise_for_status()


def open_workers(running: Demonstration) -> Iterator[str]:
    """Yield the pid of each worker that is shown as open."""
    for line in running.read():
        match = WORKER.search(line)
        if match and match[2] != "killed" and match[3] == "open":
            yield match[1]


def test_kept_demo_follows_the_user_until_ctrl_c(tmp_path: Path) -> None:
    """After the summary it shows changes made by hand, and Ctrl-C removes all."""
    with Demonstration(tmp_path, "--keep", *BRIEFLY) as running:
        running.read_until("All 6 promises kept.")
        change_by_hand(running)
        followed: set[str] = set()
        for pid in open_workers(running):
            followed.add(pid)
            if len(followed) == 4:
                break
        running.interrupt(signal.SIGINT)
        assert running.finish() == 128 + signal.SIGINT
        assert running.errors() == ""
        assert running.leftovers() == []


def read_terminal(terminal: int, until: str) -> str:
    """Return what appears on a terminal, up to *until* or the end of its program."""
    seen = b""
    while until.encode() not in seen:
        try:
            seen += os.read(terminal, 65_536)
        except OSError:  # nobody has the other side open any more
            break
    return seen.decode(errors="replace")


def test_on_a_terminal_the_demo_draws_a_table(tmp_path: Path) -> None:
    """The table is drawn again and again, and Ctrl-C gives the terminal back."""
    keyboard, screen = pty.openpty()
    with Demonstration(tmp_path, *BRIEFLY, terminal=screen) as running:
        os.close(screen)
        seen = read_terminal(keyboard, "at the backend")
        os.write(keyboard, b"\x03")
        seen += read_terminal(keyboard, "no such text")
        os.close(keyboard)
        assert running.process.wait() == 128 + signal.SIGINT
        assert running.leftovers() == []
    assert seen.count("last refresh") > 5
    assert "leader" in seen
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert seen.rindex(hidden) < seen.rindex(shown)
    assert "Traceback" not in seen


@pytest.mark.parametrize("name", ["gunicorn", "rich"])
def test_demo_names_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without a library it says in one line what to install, and ends with 2."""
    monkeypatch.setitem(sys.modules, name, None)
    finished = CliRunner().invoke(demo)
    assert finished.exit_code == 2
    assert finished.output == f"Error: {name} missing; pip install 'liteguard[demo]'\n"


def test_demo_says_that_it_needs_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without fork it says so and ends with 2."""
    monkeypatch.delattr(os, "fork")
    finished = CliRunner().invoke(demo)
    assert finished.exit_code == 2
    assert "needs fork" in finished.output
