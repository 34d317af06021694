"""The texts of a record: each is written into a journal once and then referred to."""

from __future__ import annotations

import dis
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

    from liteguard.telemetry.journal import Journal

_LONGEST_NAME_BYTES = 1024


def name_at(journal: Journal, name: str) -> int:
    """Return where *name* lies in *journal*, at most 1 KiB of it; 0 if it is empty.

    Raises:
        JournalFull: There is no room for it.
    """
    if not name:
        return 0
    encoded = name.encode("utf-8", "replace")[:_LONGEST_NAME_BYTES]
    return journal.find(name) or journal.write_text(name, encoded)


def document_at(journal: Journal, document: bytes) -> int:
    """Return where *document* lies in *journal*; 0 if it is empty.

    Raises:
        JournalFull: There is no room for it.
    """
    if not document:
        return 0
    return journal.find(document) or journal.write_text(document, document)


def callsite_at(journal: Journal, code: CodeType, instruction: int) -> int:
    """Return where ``file:line`` of an instruction lies in *journal*, 1 KiB of it.

    Raises:
        JournalFull: There is no room for it.
    """
    # Hashing a code object walks all that it holds; its id does as well while it lives.
    key = (id(code), instruction)
    offset = journal.find(key)
    if offset:
        return offset
    place = f"{code.co_filename}:{_line(code, instruction)}".encode("utf-8", "replace")
    # The end tells more than the beginning.
    return journal.write_text(key, place[-_LONGEST_NAME_BYTES:], keep=code)


def _line(code: CodeType, instruction: int) -> int:
    line = code.co_firstlineno
    for start, starts_line in dis.findlinestarts(code):
        if start > instruction:
            break
        line = starts_line or line
    return line
