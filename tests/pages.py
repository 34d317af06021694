"""The code blocks of the documentation, and a run of a page's commands.

A comment above a block says more of it than its language does; see `Block`.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ports import free_port
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"^(?:<!-- ([^\n]*?) -->\n)?(`{3,})([^\n]*)\n(.*?)^\2$", re.MULTILINE | re.DOTALL
)
INSTALL = re.compile(r"\bpip install\b|-m venv\b")
SOCKET = re.compile(r"127\.0\.0\.1:(\d{4,5})")
COMMAND_SECONDS = 60.0
AGAIN_SECONDS = 5.0
# A worker that uWSGI has just forked hears no signal: it is killed after a minute.
END_SECONDS = 90.0
BACKEND = "liteguard dev"
BACKEND_PORT = "8420"


class Block(NamedTuple):
    """A fenced block.

    Args:
        page: The page, from the root of the repository.
        line: Where it begins.
        language: What stands behind the fence.
        marker: The comment above it, "" if there is none. ``file: NAME``: the reader
            saves it so. ``run``: a test runs its commands and compares what they
            print; ``run until`` runs them until they print it; ``serve`` leaves the
            command running. ``stop COMMAND; run`` ends one that was left so before.
            ``shown: WHY``: nothing that could be run here.
        code: Its text.
    """

    page: str
    line: int
    language: str
    marker: str
    code: str

    @property
    def is_directive(self) -> bool:
        """Whether Sphinx makes something of it."""
        return self.language.startswith("{")

    @property
    def file(self) -> str:
        """The name under which the reader saves it, "" if he does not."""
        kind, _, name = self.marker.partition(": ")
        return name if kind == "file" else ""

    @property
    def is_walked(self) -> bool:
        """Whether its commands are run."""
        return self.marker.rpartition("; ")[2] in {"run", "run until", "serve"}

    @property
    def is_run(self) -> bool:
        """Whether a test does what it shows, here or in a file for its kind."""
        is_shown = self.is_walked or bool(self.file) or self.is_directive
        kinds = (INSTALLING, MEASURING, CALLING, AS_ROOT, SEEDS)
        return (
            is_shown or self.language == "python" or any(self in kind for kind in kinds)
        )

    @property
    def starts_backend(self) -> bool:
        """Whether it starts a local backend of the reader's own."""
        return self.is_walked and f"$ {BACKEND}\n" in self.code

    @property
    def commands(self) -> list[tuple[str, str]]:
        """The commands that stand behind a prompt, each with what it prints."""
        found: list[tuple[str, str]] = []
        for line in self.code.splitlines():
            if line.startswith(("$ ", "# ")):
                found.append((line[2:], ""))
            elif found and found[-1][0].endswith("\\"):
                found[-1] = (f"{found[-1][0][:-1]}{line.strip()}", "")
            elif found:
                found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        return found


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text("utf-8")
    name = str(page.relative_to(ROOT))
    return [
        Block(
            name, text[: match.start(4)].count("\n") + 1, match[3], match[1] or "", code
        )
        for match in FENCE.finditer(text)
        for code in [match[4]]
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
CONSOLES = {"console", "sh"}
UNWALKED = [b for b in BLOCKS if b.language in CONSOLES and not b.is_walked]

# See test_pages_commands for the first two, test_pages_services for the third, and
# test_devserver_docs for the others.
MEASURING = [b for b in UNWALKED if b.code.startswith("$ python stress/")]
INSTALLING = [b for b in UNWALKED if INSTALL.search(b.code)]
AS_ROOT = [b for b in UNWALKED if b.code.startswith("# ")]
CALLING = [b for b in UNWALKED if b.code.startswith("$ curl ")]
SEEDS = [b for b in BLOCKS if b.language == "json" and '"environments"' in b.code]

NOT_RUN = {
    ("README.md", "python3 tests"): "the whole suite, in which this is: CI runs it",
    ("docs/demo.md", "  ✓ every worker followed every"): (
        "what the demonstration printed once, with the figures of that time"
    ),
    ("docs/dev-server.md", "$ export LITEGUARD_BACKEND_URL="): (
        "has a token in it that each reader has another of"
    ),
    ("docs/dev-server.md", '{"error": {"field": "rules.0.op'): "an answer, shortened",
    (
        "docs/uwsgi.md",
        "liteguard: this uWSGI lets no t",
    ): "a line of the log, shortened",
}
"""By page and the first 31 characters, each block that no test runs, and why."""


class Walk:
    """A reader who does what a page says, in a folder of his own.

    Args:
        folder: The folder; the files of the page are saved in it.
        variables: What the environment holds besides the usual.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LITEGUARD_", "PYTEST_", "COV_"))
        }
        programs = Path(sys.executable).parent
        self.variables = {
            **inherited,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "NO_PROXY": "127.0.0.1",
            **variables,
        }
        self._ports: dict[str, str] = {}
        self._servers: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def save(self, block: Block) -> None:
        """Save a file of the page."""
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._moved(block.code), "utf-8")

    def walk(self, block: Block) -> None:
        """Do what the block says."""
        stopped, _, kind = block.marker.rpartition("; ")
        if stopped:
            self._stop(stopped.removeprefix("stop "))
        for command, printed in block.commands:
            if command.startswith("export "):
                self._export(command)
            elif kind == "serve":
                self._serve(command, printed)
            elif kind == "run until":
                self._until(command, printed)
            else:
                self._compare(printed, self._run(command))

    def end(self) -> None:
        """End what was left running."""
        for command in reversed(list(self._servers)):
            self._stop(command)

    def _export(self, command: str) -> None:
        told = self._run(f"{command} && env -0")
        self.variables = dict(
            setting.split("=", 1) for setting in told.split("\0") if setting
        )

    def _run(self, command: str) -> str:
        finished = subprocess.run(
            ["bash", "-c", self._moved(command)],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return finished.stdout

    def _until(self, command: str, printed: str) -> None:
        told = [""]

        def is_printed() -> bool:
            told[0] = self._run(command)
            return bool(self._pattern(printed).search(told[0]))

        until(is_printed, lambda: f"{command} printed {told[0]}")

    def _serve(self, command: str, printed: str) -> None:
        log = self.folder / f"served-{len(self._servers)}.log"
        shown = self._moved(command)
        if command.startswith(BACKEND):
            shown += f" --port {self._port(BACKEND_PORT)}"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {shown}"],
                cwd=self.folder,
                env=self.variables,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._servers[command.partition(" --")[0]] = server, log
        pattern = self._pattern(printed)
        until(lambda: pattern.search(log.read_text()), log.read_text)

    def _stop(self, command: str) -> None:
        server, log = self._servers.pop(command)
        try:
            until(lambda: self._has_ended(server), log.read_text, seconds=END_SECONDS)
        finally:
            server.kill()
            server.wait()
        assert server.returncode == 0, log.read_text()

    def _has_ended(self, server: subprocess.Popen[bytes]) -> bool:
        """Tell it to end, again if need be: uWSGI hears nothing while it starts."""
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(AGAIN_SECONDS)
        return server.returncode is not None

    def _compare(self, printed: str, told: str) -> None:
        pattern = self._pattern(printed)
        assert pattern.fullmatch(told.strip()), f"{told} is not {printed}"

    def _pattern(self, printed: str) -> re.Pattern[str]:
        """Return what fits the text, in which "…" stands for anything in a line."""
        lines = []
        for line in self._moved(printed).strip().splitlines(keepends=True):
            if line.strip() == "…":
                lines.append(r"(?s:.*)")
            else:
                lines.append(".*".join(map(re.escape, line.split("…"))))
        return re.compile("".join(lines) or r"(?s:.*)")

    def _moved(self, text: str) -> str:
        """Return *text* with other ports: those that it names may be taken."""
        return SOCKET.sub(lambda match: f"127.0.0.1:{self._port(match[1])}", text)

    def _port(self, shown: str) -> str:
        if shown not in self._ports:
            self._ports[shown] = str(free_port())
        return self._ports[shown]


@contextlib.contextmanager
def walking(variables: Mapping[str, str]) -> Iterator[Walk]:
    """Walk in a folder of one's own, and leave nothing running."""
    with tempfile.TemporaryDirectory(prefix="liteguard-page-") as folder:
        walk = Walk(Path(folder), variables)
        try:
            yield walk
        finally:
            walk.end()
