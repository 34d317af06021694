"""A host of forked workers: started, watched, killed and ended by a scenario."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Optional, cast

from stress.suite.measuring import measured
from stress.suite.places import PROGRAMS, variables
from stress.suite.processes import living, state
from stress.suite.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.programs.tally import Told
    from stress.suite.stage import Stage

START_SECONDS = 60.0
END_SECONDS = 45.0
_PAUSE_SECONDS = 0.05
# By its own exit, by our SIGKILL, or by the SIGTERM that ends it.
_MEANT = {"0", str(-signal.SIGKILL), str(-signal.SIGTERM)}


class Workers:
    """A master and the workers that it forks and replaces.

    Args:
        stage: Where it plays.
        **settings: What differs from the stage's.
    """

    loops = True

    def __init__(self, stage: Stage, **settings: Any) -> None:
        self.hangs = 0
        self.deaths = 0
        self._stage = stage
        self._settings = stage.settings(**settings)
        self._tallies = Tallies(stage.tallies)
        self._log_path = stage.folder / "log"
        self._master: Optional[subprocess.Popen[str]] = None

    def __enter__(self) -> Workers:
        """Start, and wait until each has looked."""
        with self._log_path.open("w") as log:
            self._master = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, str(PROGRAMS / "workers.py")],
                env={**variables(self._stage.package), **self._settings.variables()},
                cwd=self._stage.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self._await_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all of them; those that do not end count as hung and are killed."""
        master, printed = self._running(), ""
        master.terminate()
        try:
            printed, _nothing = master.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self.hangs += living(master.pid)
        finally:
            # Whatever is left of the session that it was started in.
            with suppress(ProcessLookupError):
                os.killpg(master.pid, signal.SIGKILL)
            master.wait()
            cast("IO[str]", master.stdout).close()
        if printed:
            endings = json.loads(printed)["endings"]
            self.deaths += sum(n for how, n in endings.items() if how not in _MEANT)
        self.deaths += master.returncode not in (0, -signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The master."""
        return self._running().pid

    def log(self) -> str:
        """Return what its processes have written."""
        return self._log_path.read_text(errors="replace")

    def living(self) -> list[Told]:
        """Return those that look, without the master."""
        master = self._running().pid
        told = [one for one in self._tallies.look() if one.pid != master]
        return [one for one in told if one.looked_at and state(one.pid)]

    def leader(self) -> int:
        """Return the worker that leads, or the oldest where none does."""
        living = self.living()
        if not living:
            return 0
        return max(living, key=lambda one: (one.leads, -one.pid)).pid

    def send(self, number: signal.Signals, pid: int) -> None:
        """Send a signal to a worker, if it still lives."""
        with suppress(ProcessLookupError):
            if pid:
                os.kill(pid, number)

    def _await_all(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while len(self.living()) < self._enough():
            if self._running().poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the workers did not start: {self.log()[-2000:]}")
            time.sleep(_PAUSE_SECONDS)

    def _enough(self) -> int:
        """How many have to be there: one, where they come and go."""
        return 1 if self._settings.lifetime_seconds else self._settings.workers

    def _running(self) -> subprocess.Popen[str]:
        assert self._master is not None  # noqa: S101  started
        return self._master


@contextmanager
def workers(stage: Stage, **settings: Any) -> Iterator[Workers]:
    """Run workers while the block runs, and leave their figures with the stage."""
    host = Workers(stage, **settings)
    with measured(stage, host):
        yield host
