"""``liteguard demo`` as a user runs it: in a session and a terminal of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LONGEST_SECONDS = 90.0
# A session's leader that opens a terminal owns it from then on, and is sent its Ctrl-C.
ON_TERMINAL = """\
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.executable, [sys.executable, "-m", "liteguard", "demo", *sys.argv[1:]])
"""


class Demonstration:
    """A demo that runs while the ``with`` block does.

    Args:
        folder: What it takes for the system's folder of temporary files.
        arguments: Of the command.
        terminal: A terminal's descriptor for its input and output; lines are read from
            a pipe if there is none.
    """

    def __init__(
        self, folder: Path, *arguments: str, terminal: Optional[int] = None
    ) -> None:
        self.folder = folder
        self.lines: list[str] = []
        program = ["-m", "liteguard", "demo"]
        if terminal is not None:
            program = ["-c", ON_TERMINAL]
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder), "TERM": "xterm", **SIZE},
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.PIPE if terminal is None else terminal,
            start_new_session=True,
            text=True,
        )
        # Reading has no deadline, so the end of the process must bring one.
        self._timer = threading.Timer(LONGEST_SECONDS, self.process.kill)

    def __enter__(self) -> Demonstration:
        """Start the clock."""
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End whatever still runs."""
        self._timer.cancel()
        self._timer.join()
        self.process.kill()
        self.process.wait()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def read(self) -> Iterator[str]:
        """Yield what it prints, line by line, until it closes its output."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            yield self.lines[-1]

    def read_until(self, text: str) -> str:
        """Read on to the first line that contains *text*, and return it."""
        found = next((line for line in self.read() if text in line), None)
        assert found is not None, "\n".join([*self.lines, self.errors()])
        return found

    def finish(self) -> int:
        """Read all that is left and return the exit status."""
        for _ in self.read():
            pass
        return self.process.wait()

    def errors(self) -> str:
        """Return what it wrote to standard error, once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal to the demo's process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def processes(self) -> set[int]:
        """Return the pids of all processes that descend from the demo, itself apart."""
        mark = f"TMPDIR={self.folder}\0".encode()
        found = set()
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in entry.read_bytes():
                    found.add(int(entry.parent.name))
        return found - {self.process.pid}

    def leftovers(self) -> list[str]:
        """Return what it left behind: processes and files."""
        files = [path.name for path in self.folder.iterdir()]
        return [*files, *map(str, sorted(self.processes()))]


SIZE = {"COLUMNS": "100", "LINES": "50"}
