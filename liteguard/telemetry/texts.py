"""The texts of a record: each is written into a journal once and then referred to."""

from __future__ import annotations

import dis
from typing import TYPE_CHECKING

import orjson

from liteguard.telemetry.happening import EXECUTION, OPEN

if TYPE_CHECKING:
    from types import CodeType

    from liteguard.telemetry.happening import Happening
    from liteguard.telemetry.journal import Journal

_LONGEST_NAME_BYTES = 1024


def site_key(
    guard: str, flags: int, code: CodeType, instruction: int
) -> tuple[str, int, int, int]:
    """Return what a journal knows a site by."""
    # Hashing a code object walks all that it holds; its id does as well while it lives.
    return (guard, flags, id(code), instruction)


def site_at(journal: Journal, happening: Happening) -> int:
    """Return where a site lies in *journal*: a guard, asked for at one place.

    Raises:
        JournalFull: There is no room for it.
    """
    guard, flags, _, code, instruction, *_ = happening
    key = site_key(guard, flags, code, instruction)
    offset = journal.find(key)
    if offset:
        return offset
    site = {
        "guardName": _encoded(guard)[:_LONGEST_NAME_BYTES].decode("utf-8", "replace"),
        "result": bool(flags & OPEN),
        "callsiteId": _place(code, instruction),
        "kind": "guard_execution" if flags & EXECUTION else "guard_check",
    }
    return journal.write_text(key, orjson.dumps(site), code)


def name_at(journal: Journal, name: str) -> int:
    """Return where *name* lies in *journal*, at most 1 KiB of it; 0 if it is empty.

    Raises:
        JournalFull: There is no room for it.
    """
    if not name:
        return 0
    encoded = _encoded(name)[:_LONGEST_NAME_BYTES]
    return journal.find(name) or journal.write_text(name, encoded)


def document_at(journal: Journal, document: bytes) -> int:
    """Return where *document* lies in *journal*; 0 if it is empty.

    Raises:
        JournalFull: There is no room for it.
    """
    if not document:
        return 0
    return journal.find(document) or journal.write_text(document, document)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _place(code: CodeType, instruction: int) -> str:
    place = _encoded(f"{code.co_filename}:{_line(code, instruction)}")
    # The end tells more than the beginning.
    return place[-_LONGEST_NAME_BYTES:].decode("utf-8", "replace")


def _line(code: CodeType, instruction: int) -> int:
    line = code.co_firstlineno
    for start, starts_line in dis.findlinestarts(code):
        if start > instruction:
            break
        line = starts_line or line
    return line
