"""Forks for real: what a child does, and what it tells of itself."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NoReturn

from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILD_SECONDS = 20
"""A child that takes longer is killed by its own alarm."""

NOBODY = 65534
# Whoever may not become another user stays the one that runs the tests.
USER = NOBODY if os.geteuid() == 0 else os.geteuid()
GROUP = NOBODY if os.geteuid() == 0 else os.getegid()
_LOOK_SECONDS = 0.002


class Child:
    """A forked child that runs *action*, reports what it returned, and ends at once.

    Args:
        action: Run in the child; what it returns must be JSON.
        fork: How to fork.
    """

    def __init__(
        self,
        action: Callable[[], Any],
        *,
        fork: Callable[[], int] = os.fork,
    ) -> None:
        self._report, far_end = os.pipe()
        parent = os.getpid()
        try:
            self.pid = fork()
            if self.pid == 0:
                _run(action, far_end)
        finally:
            # Whatever was raised, even by a signal of the parent's: no child goes on
            # with the parent's tests.
            if os.getpid() != parent:
                os._exit(1)
        os.close(far_end)
        self._has_ended = False

    def result(self) -> Any:
        """Wait for the child's end and return what its action returned."""
        with os.fdopen(self._report, "rb") as pipe:
            text = pipe.read()
        status = self.wait()
        assert text, f"the child told nothing and ended with status {status}"
        report = json.loads(text)
        assert "error" not in report, report["error"]
        return report["result"]

    def kill(self) -> None:
        """End it by SIGKILL, unless it has ended."""
        if not self._has_ended:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
            os.close(self._report)

    def wait(self) -> int:
        """Wait for its end and return the wait status."""
        self._has_ended = True
        return os.waitpid(self.pid, 0)[1]


def in_child(action: Callable[[], Any], **how: Any) -> Any:
    """Run *action* in a forked child and return its result."""
    return Child(action, **how).result()


def as_ordinary_user(action: Callable[[], Any]) -> Any:
    """Run *action* in a child that is not root."""

    def without_privileges() -> Any:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return action()

    return in_child(without_privileges)


def fork_without_hooks() -> int:
    """Fork as an embedding server does: the interpreter does not notice.

    A thread that waits for the interpreter at such a fork would leave the interpreter's
    own lock unusable in the child, whatever library it is of. So all have to sleep.
    """
    until(_are_threads_asleep)
    return int(ctypes.PyDLL(None).fork())


def fork_a_parked_process() -> int:
    """Fork as uWSGI does: no hook runs, and the parent has no thread of the package."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return fork_without_hooks()


def fork_between_rounds() -> int:
    """Fork without hooks right after a round of the package's threads."""
    before = _look_at_threads()
    until(lambda: _look_at_threads() != before)
    return fork_without_hooks()


def _are_threads_asleep() -> bool:
    before = _look_at_threads()
    threading.Event().wait(0.02)
    states = {line.split()[1] for line in before if line.startswith("State")}
    return states <= {"S"} and before == _look_at_threads()


def _look_at_threads() -> list[str]:
    """Return of each other thread its state and how often it was switched."""
    tasks = Path("/proc/self/task")
    others = set(tasks.iterdir()) - {tasks / str(threading.get_native_id())}
    lines = []
    for task in sorted(others):
        # One that ends meanwhile is missing in the next look.
        with contextlib.suppress(OSError):
            lines += (task / "status").read_text().splitlines()
    return [
        line
        for line in lines
        if line.startswith(("Pid", "State", "voluntary", "nonvoluntary"))
    ]


@contextlib.contextmanager
def living(action: Callable[[], Any], **how: Any) -> Iterator[Child]:
    """Run *action* in a child that is killed when the block ends."""
    child = Child(action, **how)
    try:
        yield child
    finally:
        child.kill()


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until *condition* holds; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was awaited did not happen"
        time.sleep(_LOOK_SECONDS)


def sleep_for_ever() -> None:
    """Wait for a signal that ends the process."""
    while True:
        signal.pause()


def _run(action: Callable[[], Any], far_end: int) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(CHILD_SECONDS)
    try:
        report = {"result": action()}
    except BaseException:  # noqa: BLE001  whatever it is, the parent must hear of it
        report = {"error": traceback.format_exc()}
    os.write(far_end, json.dumps(report).encode())
    os._exit(0)
