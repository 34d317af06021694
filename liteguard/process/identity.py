"""Which process this is, told so that another can see whether it still lives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Optional

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, distinguishable from a later one that was given the same pid.

    Args:
        pid: As the process sees itself.
        start_ticks: When the kernel started it, in clock ticks since boot; 0 where
            the kernel does not tell.
        pid_namespace: The namespace in which *pid* means something; "" if unknown.
        boot_id: The kernel's id of this boot; "" if unknown.
    """

    pid: int
    start_ticks: int
    pid_namespace: str
    boot_id: str

    def is_alive(self) -> bool:
        """Whether that process still runs, as far as this process can tell.

        A process of another pid namespace cannot be seen and counts as alive. What
        is not known, for want of descriptors perhaps, makes no process dead.
        """
        if _differ(self.boot_id, boot_id()):
            return False
        if _differ(self.pid_namespace, _pid_namespace()):
            return True
        start_ticks = _start_ticks(self.pid)
        if start_ticks is None or (start_ticks and not self.start_ticks):
            return _accepts_signals(self.pid)
        return start_ticks != 0 and start_ticks == self.start_ticks


def current_identity() -> ProcessIdentity:
    """Return the identity of the calling process. Never blocks; safe after a fork."""
    return ProcessIdentity(
        pid=os.getpid(),
        start_ticks=_start_ticks(os.getpid()) or 0,
        pid_namespace=_pid_namespace(),
        boot_id=boot_id(),
    )


def boot_id() -> str:
    """Return the kernel's id of this boot, or "" where there is none."""
    try:
        return _read_boot_id()
    except OSError:
        return ""


@cache
def _read_boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text("utf-8").strip()


def _differ(one: str, other: str) -> bool:
    """Whether both are known, and are not the same."""
    return bool(one and other and one != other)


def _start_ticks(pid: int) -> Optional[int]:
    """Return when a process started; 0 if it has ended, ``None`` if nobody can tell."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0 if (_PROC / "self").exists() else None
    except OSError:
        return None
    # The command name may hold spaces and parentheses: count from its last one.
    fields = stat[stat.rfind(b")") + 2 :].split()
    is_zombie = fields[0] in b"ZX"
    return 0 if is_zombie else int(fields[19])


def _pid_namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _accepts_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
