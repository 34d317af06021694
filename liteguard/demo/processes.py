"""Processes that the demo starts: their logs, their end, and that of their children."""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import liteguard
from liteguard.demo.patience import DemoError

if TYPE_CHECKING:
    from collections.abc import Mapping

STOP_SECONDS = 5.0
_TAIL_LINES = 15


class Child:
    """A process in a session of its own, so that Ctrl-C reaches the demo alone.

    Args:
        name: What to call it, and its log.
        command: Program and arguments.
        folder: Where it runs, and where its log and output go.
        variables: Environment variables, over those of `clean_variables`.
        listener: A file descriptor for it to inherit, if any.
        stop_seconds: How long it may take to end by itself before it is killed.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        folder: Path,
        variables: Mapping[str, str],
        listener: tuple[int, ...] = (),
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self.name = name
        self._stop_seconds = stop_seconds
        self.output_path = folder / f"{name}.out"
        self.log_path = folder / f"{name}.log"
        with self.output_path.open("wb") as output, self.log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own programs
                command,
                cwd=folder,
                env={**clean_variables(os.environ), **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                pass_fds=listener,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id, and that of its group."""
        return self._process.pid

    def check(self) -> None:
        """Raise DemoError, with the end of the log, if the process has ended."""
        status = self._process.poll()
        if status is not None:
            raise DemoError(f"{self.name} ended with status {status}; {self.tail()}")

    def tail(self) -> str:
        """Return the last lines of the log, with a heading."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n  ".join(["its log ends with:", *(lines or ["(nothing)"])])

    def __enter__(self) -> Child:
        """Return the child; it has been started already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process and its children: ask it to, and kill what remains."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._stop_seconds)
        # The group keeps its number as long as one process of it is there.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def clean_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return *variables* without what would lead the children elsewhere.

    Args:
        variables: Environment variables: settings of a client or of gunicorn that
            belong to other work are left out, and so are proxies.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith(("LITEGUARD_", "GUNICORN_"))
        and not name.lower().endswith("_proxy")
    }
    paths = [*_source_tree(), *kept.pop("PYTHONPATH", "").split(os.pathsep)]
    if any(paths):
        kept["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, filter(None, paths)))
    return kept


def _source_tree() -> list[str]:
    """Return where the package lies, unless it is installed: children run elsewhere."""
    root = Path(liteguard.__file__).resolve().parent.parent
    return [] if root == Path(sysconfig.get_path("purelib")) else [str(root)]
