"""Signals in their wire form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from liteguard.telemetry.execution import signal_id
from liteguard.telemetry.happening import COMPLETED, EXECUTION, OPEN

if TYPE_CHECKING:
    from liteguard.telemetry.journal_file import JournalFile, Record


def encode_signal(file: JournalFile, record: Record, dropped: int) -> orjson.Fragment:
    """Return a record in its wire form.

    Args:
        file: The journal that holds the record's texts.
        record: The record.
        dropped: Signals lost since the last one that was sent.

    Raises:
        ValueError: The journal is damaged at this record.
    """
    own_id = signal_id((file.owner.nonce, record.number))
    signal: dict[str, Any] = {
        "guardName": file.text(record.guard).decode("utf-8", "replace"),
        "result": bool(record.flags & OPEN),
        "properties": _document(file, record.properties),
        "timestampMs": record.timestamp_ms,
        "signalId": own_id,
        "executionId": _decoded(file, record.execution) or own_id,
        "sequenceNumber": record.sequence_number,
        "callsiteId": _decoded(file, record.callsite),
        "kind": "guard_execution" if record.flags & EXECUTION else "guard_check",
        "droppedSignalsSinceLast": dropped,
    }
    parent = _parent_id(file, record)
    if parent:
        signal["parentSignalId"] = parent
    if record.readings:
        signal["measurement"] = _measurement(file, record)
    if record.limits:
        signal["rateLimitDecisions"] = orjson.loads(file.text(record.limits))
    return orjson.Fragment(orjson.dumps(signal))


def _parent_id(file: JournalFile, record: Record) -> str:
    if record.parent_number:
        return signal_id((file.owner.nonce, record.parent_number))
    return _decoded(file, record.parent)


def _measurement(file: JournalFile, record: Record) -> dict[str, Any]:
    readings = _document(file, record.readings)
    if not record.flags & EXECUTION:
        return {"guardCheck": readings}
    execution = {
        "durationNs": record.duration_ns,
        "completed": bool(record.flags & COMPLETED),
        **{_AT_END.get(name, name): value for name, value in readings.items()},
    }
    if record.error:
        execution["errorClass"] = _decoded(file, record.error)
    return {"guardExecution": execution}


_AT_END = {
    "rssBytes": "rssEndBytes",
    "cpuTimeNs": "cpuTimeEndNs",
    "gcCount": "gcCountEnd",
}


def _decoded(file: JournalFile, offset: int) -> str:
    return file.text(offset).decode("utf-8", "replace") if offset else ""


def _document(file: JournalFile, offset: int) -> dict[str, Any]:
    # Read here, so that one damaged text does not spoil the batch it is sent in.
    found = orjson.loads(file.text(offset)) if offset else {}
    if type(found) is not dict:
        raise ValueError("a text is damaged")
    return found
