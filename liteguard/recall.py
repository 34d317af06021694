"""Checks that come again: what holds of an earlier check for a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from liteguard.telemetry.happening import OPEN
from liteguard.telemetry.texts import site_key

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from liteguard.evaluation.table import GuardTable
    from liteguard.telemetry.journal import Journal


class Recalled(NamedTuple):
    """A check as it may come again, and how to record it then.

    Args:
        token: That of the `Epoch` for which this holds.
        code: The code that called.
        instruction: Where in it.
        is_open: The answer.
        rule_index: Which rule decided, -1 if none did.
        site: Where the site lies in the epoch's journal.
        properties: Where the properties lie.
    """

    token: object
    code: CodeType
    instruction: int
    is_open: bool
    rule_index: int
    site: int
    properties: int


class Epoch:
    """A time in which equal checks have equal answers and equal records.

    Ended by another table, another recorder or another journal. Checks remember its
    token and not the epoch itself, whose table and journal they must not keep alive.

    Args:
        table: The table in force.
        journal: The journal in use.
    """

    __slots__ = ("journal", "table", "token")

    def __init__(self, table: GuardTable, journal: Journal) -> None:
        self.table = table
        self.journal = journal
        self.token = object()

    def recalled(
        self,
        name: str,
        frame: FrameType,
        encoded: bytes,
        *,
        is_open: bool,
        rule_index: int,
    ) -> Optional[Recalled]:
        """Return what to remember of a check, if its texts are in the journal.

        Args:
            name: The guard.
            frame: Where the caller stands.
            encoded: The properties as they were recorded.
            is_open: The answer.
            rule_index: Which rule decided, -1 if none did.
        """
        code, instruction = frame.f_code, frame.f_lasti
        key = site_key(name, OPEN if is_open else 0, code, instruction)
        site, properties = self.journal.find(key), self.journal.find(encoded)
        if not site or not properties:
            return None
        return Recalled(
            self.token, code, instruction, is_open, rule_index, site, properties
        )
