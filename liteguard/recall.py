"""Checks that come again: what holds of an earlier check for a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

import orjson

from liteguard.telemetry.happening import OPEN
from liteguard.telemetry.texts import site_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, FrameType

    from liteguard.evaluation.table import GuardTable
    from liteguard.telemetry.journal import Journal
    from liteguard.verdict import Answer


_MOST_CALLS = 250
_LONGEST_KEY_BYTES = 1024
# No float, as NaN looks like None in JSON.
_TOLD_APART = frozenset({str, bool, int, type(None)})

Key = Union[str, bytes, None]
"""What a subject knows a check by: the guard's name, or what `key_of` makes of it.
``None`` is by nothing."""

Recalled = tuple[object, "CodeType", int, bool, int, int, int]
"""A check as it may come again, and how to record it then: the token of the `Epoch` for
which this holds; the code that called, and where in it; the answer, and which rule
decided, -1 if none did; where in the epoch's journal the site and the properties lie.

No named tuple, which takes three times as long to take apart.
"""


def key_of(name: str, properties: Mapping[str, Any]) -> Optional[bytes]:
    """Return what a check with properties of its own is known by; ``None`` if nothing.

    Where keys are equal, so are name and properties, in the types of the values too.
    Never raises.
    """
    if type(properties) is not dict:
        return None
    try:
        for value in properties.values():
            if type(value) not in _TOLD_APART:
                return None
        return orjson.dumps((name, properties))
    except (TypeError, RuntimeError):  # no JSON, or changed by another thread
        return None


def note(kept: dict[Key, Optional[Recalled]], key: Key) -> None:
    """Keep that a check came once, within bounds.

    Names are as many as there are guards, but properties may be new in each call.
    """
    if isinstance(key, bytes):
        if len(key) > _LONGEST_KEY_BYTES:
            return
        if len(kept) >= _MOST_CALLS:
            kept.clear()
    kept[key] = None


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
        self, name: str, frame: FrameType, answer: Answer
    ) -> Optional[Recalled]:
        """Return what to remember of a check, if its texts are in the journal.

        Args:
            name: The guard.
            frame: Where the caller stands.
            answer: What it came to.
        """
        is_open, _, rule_index, _, encoded, _, _ = answer
        code, instruction = frame.f_code, frame.f_lasti
        key = site_key(name, OPEN if is_open else 0, code, instruction)
        site, properties = self.journal.find(key), self.journal.find(encoded)
        if not site or not properties:
            return None
        return self.token, code, instruction, is_open, rule_index, site, properties
