"""A real local backend for tests: ``liteguard dev`` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Optional

from management import Management

ROOT = Path(__file__).parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 15.0


class DevServer(Management):
    """A backend that runs while the ``with`` block does.

    Args:
        folder: Where the database and the log go; by default a folder that is removed
            at the end.
        environment: The environment that the token is for, and that all methods mean
            unless told otherwise.
        refresh_rate_seconds: What the bundle asks clients for; 0 leaves it to them, so
            that a test can choose short intervals.
        arguments: More arguments for ``liteguard dev``.
    """

    def __init__(
        self,
        folder: Optional[Path] = None,
        *,
        environment: str = "default",
        refresh_rate_seconds: float = 0,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self._own_folder = tempfile.TemporaryDirectory()
        self.folder = folder or Path(self._own_folder.name)
        super().__init__(environment, refresh_rate_seconds)
        self.token = ""
        self.pid = 0
        self._arguments = arguments
        self._process: Optional[subprocess.Popen[str]] = None

    def __enter__(self) -> DevServer:
        """Start, and set the refresh rate."""
        try:
            self.start()
            self.set_refresh_rate(self.refresh_rate_seconds)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the process and remove its folder."""
        self.kill()
        self._own_folder.cleanup()

    def start(self) -> None:
        """Start the process, on the port and with the token of an earlier start."""
        port = self.url.rpartition(":")[2] or "0"
        self._process = start_program(self.folder, "--port", port, *self._options())
        announcement = read_announcement(self._process)
        assert announcement is not None, self.log()
        self.url = announcement["url"]
        self.token = announcement["token"]
        self.pid = announcement["pid"]

    def stop(self) -> int:
        """Ask the process to end as a user would and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, if it runs."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the process and start it on the same port and database."""
        self.stop()
        self.start()

    def log(self) -> str:
        """Return what the server wrote to standard error so far."""
        return (self.folder / "stderr").read_text()

    def _options(self) -> tuple[str, ...]:
        token = ("--token", self.token) if self.token else ()
        return ("--environment", self.environment, *token, *self._arguments)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "the server is not running"
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def start_program(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``liteguard dev`` with a database in *folder*; does not wait for it."""
    program = [sys.executable, "-m", "liteguard", "dev", "--db", str(folder / "dev.db")]
    paths = (str(ROOT), os.environ.get("PYTHONPATH", ""))
    with (folder / "stderr").open("a") as log:
        return subprocess.Popen(
            [*program, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def read_announcement(process: subprocess.Popen[str]) -> Optional[dict[str, Any]]:
    """Wait for the line that tells where the server is.

    Returns:
        Its content; ``None`` if the process ended without one or missed the deadline.
    """
    assert process.stdout is not None
    # The timer ends the wait by ending the process: a pipe has no deadline.
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    timer.join()
    if not line:
        process.stdout.close()
        process.wait()
        return None
    announcement: dict[str, Any] = json.loads(line)
    return announcement


def complaint(folder: Path, *arguments: str) -> str:
    """Run a command line that cannot start and return its only line of complaint.

    Raises:
        AssertionError: It did start, or it complained in another form.
    """
    process = start_program(folder, *arguments)
    try:
        printed, _ = process.communicate(timeout=START_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, printed) == (2, "")
    (line,) = (folder / "stderr").read_text().splitlines()
    return line
