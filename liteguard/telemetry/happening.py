"""What is to be recorded, as it is handed from a check to the recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from types import CodeType

    from liteguard.telemetry.execution import SignalRef

OPEN = 1
EXECUTION = 2


class Happening(NamedTuple):
    """What is to be recorded.

    Args:
        guard: The guard's name.
        flags: OPEN and EXECUTION, added.
        properties: The properties as JSON.
        code: The code that called.
        instruction: Where in it.
        is_measured: Whether readings of the process belong to it.
        limits: Decisions about rate limits as JSON, or nothing.
        duration_ns: How long an execution took.
        error: Class of the exception that ended an execution, or "" if it completed.
        parent: The signal that it follows, unless the execution knows it.
    """

    guard: str
    flags: int
    properties: bytes
    code: CodeType
    instruction: int
    is_measured: bool = False
    limits: bytes = b""
    duration_ns: int = 0
    error: str = ""
    parent: Optional[SignalRef] = None

    @property
    def is_plain(self) -> bool:
        """Whether it is a check that no limit decided about, and no execution."""
        return self.parent is None and not (self.limits or self.flags & EXECUTION)
