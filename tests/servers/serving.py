"""A real server under test: started, asked, watched and ended by a test."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import requests

from ports import free_port
from waiting import until

if TYPE_CHECKING:
    from backends import Backend

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PROGRAMS = Path(sys.executable).parent
GUARD = "servers.guard"
RATES = {
    "LITEGUARD_REFRESH_RATE_SECONDS": "0.5",
    "LITEGUARD_RELOAD_RATE_SECONDS": "0.1",
    "LITEGUARD_FLUSH_RATE_SECONDS": "0.3",
}
REQUEST_SECONDS = 10.0
STOP_SECONDS = 30.0
AT_ONCE = 8
_REENTRANT_LOGGING = re.compile(
    r"--- Logging error ---\nTraceback.*?reentrant call inside.*?\nArguments: .*?\n",
    re.DOTALL,
)
Answer = dict[str, Any]


class Server:
    """One server process and the workers it forks.

    Args:
        command: What to run; ``{port}`` stands for the port to listen on.
        backend: The backend that its application uses.
        folder: Where its state folder and its log lie.
        variables: More environment variables; what is changed holds for the next start.
    """

    def __init__(
        self,
        command: list[str],
        backend: Backend,
        folder: Path,
        variables: Optional[dict[str, str]] = None,
    ) -> None:
        self.backend = backend
        self.state_dir = folder / "state"
        self.log_path = folder / "server.log"
        self.port = free_port()
        self.answered: Counter[int] = Counter()
        self.unanswered = 0
        self._command = [part.format(port=self.port) for part in command]
        self.variables = variables or {}
        self._process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> Server:
        """Start the server and wait until it answers."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=HERE,
                env={
                    **os.environ,
                    **RATES,
                    "GUARD": GUARD,
                    **self.backend.variables(self.state_dir),
                    "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}",
                    **self.variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._is_listening)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the server and everything it started."""
        process = self._running()
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        # Whatever is left of the session the server was started in.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Without a master its workers may end later, and listen until then.
        until(lambda: not is_any_alive(process.pid))

    @property
    def pid(self) -> int:
        """The process that was started: the master, if there is one."""
        return self._running().pid

    def check(self) -> Optional[Answer]:
        """Make one check in whichever worker answers; ``None`` if none did."""
        told = self.ask("/check")
        if told is None:
            self.unanswered += 1
        else:
            self.answered[told["pid"]] += 1
        return told

    def ask(self, path: str) -> Optional[Answer]:
        """Return the answer to one request on a connection of its own."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with requests.Session() as session:
                session.trust_env = False
                response = session.get(url, timeout=REQUEST_SECONDS)
        except requests.RequestException:
            return None
        told: Answer = response.json() if response.ok else {}
        return told or None

    def sweep(self, requests_made: int = 5 * AT_ONCE) -> dict[int, Answer]:
        """Make many checks at once, and return each worker's last answer."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda _: self.check(), range(requests_made)))
        return {told["pid"]: told for told in answers if told is not None}

    def workers(
        self, number: int, are_right: Callable[[Answer], object] = bool
    ) -> dict[int, Answer]:
        """Return the latest answers of *number* workers, waiting until all are right.

        Over several sweeps: the kernel does not give each worker a share of each one.
        """
        latest: dict[int, Answer] = {}

        def are_there() -> bool:
            latest.update(self.sweep())
            for pid in [pid for pid in latest if not is_alive(pid)]:
                del latest[pid]
            return len(latest) >= number and all(map(are_right, latest.values()))

        until(are_there)
        return latest

    def wait_for_change(self, number: int) -> None:
        """Open the guard at the backend and wait until *number* workers follow."""
        self.backend.update_guard(GUARD, defaultValue=True)
        self.workers(number, lambda told: told["open"])

    def wait_for(self, condition: Callable[[dict[int, Answer]], object]) -> None:
        """Sweep until *condition* holds for the answers of one sweep."""
        until(lambda: condition(self.sweep()))

    def leader(self) -> int:
        """Return the pid of the one worker that leads, waiting for it."""
        leaders: set[int] = set()

        def is_one() -> bool:
            told = self.workers(1)
            leaders.clear()
            leaders.update(pid for pid in told if told[pid]["role"] == "leader")
            return len(leaders) == 1

        until(is_one)
        return leaders.pop()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        os.kill(self.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the server by a signal and return its exit status."""
        process = self._running()
        process.send_signal(number)
        return process.wait(STOP_SECONDS)

    def log(self) -> str:
        """Return what the server and its workers have written."""
        return self.log_path.read_text(errors="replace")

    def assert_every_check_was_delivered(self, extra: int = 0) -> None:
        """Wait until the backend has each check once, those unanswered aside.

        Args:
            extra: Checks made without a request.
        """
        made = sum(self.answered.values()) + extra

        def told() -> str:
            return (
                f"made {made}: {dict(self.answered)}, {self.backend.signal_summary()}"
            )

        until(lambda: self.backend.signal_summary()["distinct"] >= made, told)
        summary = self.backend.signal_summary()
        assert summary["droppedSignals"] == 0
        assert made <= summary["distinct"] <= made + self.unanswered

    def assert_log_is_clean(self, but: Optional[re.Pattern[str]] = None) -> None:
        """Fail if a traceback or a word of ours, but for *but*, is in the log."""
        # gunicorn 23 logs in signal handlers, which may interrupt its own logging.
        log = _REENTRANT_LOGGING.sub("", self.log())
        log = but.sub("", log) if but else log
        assert "Traceback" not in log, log
        assert "liteguard: " not in log, log

    def _is_listening(self) -> bool:
        assert self._running().poll() is None, self.log()
        return self.ask("/status") is not None

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


def is_any_alive(group: int) -> bool:
    """Whether a process of *group* has not ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def is_alive(pid: int) -> bool:
    """Whether *pid* is a process that has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def threads_of(pid: int) -> int:
    """Return how many threads the kernel counts in a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
