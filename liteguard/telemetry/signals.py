"""Signals in their wire form, and properties in a form that can always be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from liteguard.telemetry.recorder import COMPLETED, EXECUTION, OPEN, signal_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liteguard.telemetry.journal_file import JournalFile, Record

_LARGEST_PROPERTIES_BYTES = 8 * 1024
_LONGEST_VALUE_CHARACTERS = 256
_MAX_PROPERTIES = 24
_ENCODING = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS


def encode_properties(properties: Mapping[str, Any]) -> bytes:
    """Return *properties* as JSON of at most 8 KiB. Never raises because of a value.

    What JSON cannot hold is sent as its text; what is too large is cut.
    """
    try:
        encoded = orjson.dumps(properties, default=_text, option=_ENCODING)
    except Exception:  # noqa: BLE001  a value's own code may raise anything
        encoded = _encode_one_by_one(properties)
    if len(encoded) > _LARGEST_PROPERTIES_BYTES:
        encoded = _encode_one_by_one(properties)
    return encoded


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
        "guardName": _decoded(file, record.guard),
        "result": bool(record.flags & OPEN),
        "properties": _fragment(file, record.properties),
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
        signal["rateLimitDecisions"] = _fragment(file, record.limits)
    return orjson.Fragment(orjson.dumps(signal))


def _parent_id(file: JournalFile, record: Record) -> str:
    if record.parent_number:
        return signal_id((file.owner.nonce, record.parent_number))
    return _decoded(file, record.parent)


def _measurement(file: JournalFile, record: Record) -> dict[str, Any]:
    readings = orjson.loads(file.text(record.readings))
    if not record.flags & EXECUTION:
        return {"guardCheck": readings}
    execution = {
        "durationNs": record.duration_ns,
        "completed": bool(record.flags & COMPLETED),
        **{_AT_END[name]: value for name, value in readings.items()},
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


def _fragment(file: JournalFile, offset: int) -> Any:
    return orjson.Fragment(file.text(offset)) if offset else {}


def _encode_one_by_one(properties: Mapping[str, Any]) -> bytes:
    kept = list(properties.items())[:_MAX_PROPERTIES]
    return orjson.dumps({_text(name): _bounded(value) for name, value in kept})


def _bounded(value: Any) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    is_small = isinstance(value, int) and -(2**53) <= value <= 2**53
    return int(value) if is_small else _text(value)


def _text(value: Any) -> str:
    """Return a bounded text of *value*, whatever its own code does."""
    try:
        text = str(value)[:_LONGEST_VALUE_CHARACTERS]
        return text.encode("utf-8", "replace").decode("utf-8")
    except Exception:  # noqa: BLE001  a value's own code may raise anything
        return f"<{type(value).__name__}>"
