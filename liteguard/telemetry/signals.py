"""Signals in their wire form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from liteguard.telemetry.execution import signal_id

if TYPE_CHECKING:
    from liteguard.telemetry.journal_file import JournalFile
    from liteguard.telemetry.records import Record

_LATEST_SECONDS = 2.0**43  # what a server may still hold as milliseconds


class SignalEncoder:
    """Encodes the records of one journal, each text once.

    Used by one thread at a time, for one request: what it has read it keeps.

    Args:
        file: The journal that holds the records' texts.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._nonce = file.owner.nonce
        self._documents: dict[int, dict[str, Any]] = {}
        self._checked: dict[int, orjson.Fragment] = {0: orjson.Fragment(b"{}")}

    def encode(self, record: Record, dropped: int = 0) -> bytes:
        """Return a record in its wire form, as JSON.

        Args:
            record: The record.
            dropped: Signals lost since the last one that was sent.

        Raises:
            ValueError: The journal is damaged at this record.
        """
        if not 0.0 <= record.seconds < _LATEST_SECONDS:
            raise ValueError("a time is damaged")
        own_id = signal_id((self._nonce, record.number))
        details = record.details
        signal = {
            **self._site(record.site),
            "properties": self._properties(record.properties),
            "timestampMs": int(record.seconds * 1000),
            "signalId": own_id,
            "executionId": self._name(details.execution) or own_id,
            "sequenceNumber": details.sequence_number,
            "droppedSignalsSinceLast": dropped,
        }
        parent = self._parent_id(record)
        if parent:
            signal["parentSignalId"] = parent
        if record.readings:
            signal["measurement"] = self._measurement(record, signal["kind"])
        if details.limits:
            signal["rateLimitDecisions"] = orjson.loads(self._file.text(details.limits))
        return orjson.dumps(signal)

    def _site(self, offset: int) -> dict[str, Any]:
        site = self._document(offset)
        if not isinstance(site.get("guardName"), str) or "kind" not in site:
            raise ValueError("a site is damaged")
        return site

    def _parent_id(self, record: Record) -> str:
        if record.details.parent_number:
            return signal_id((self._nonce, record.details.parent_number))
        return self._name(record.details.parent)

    def _measurement(self, record: Record, kind: str) -> dict[str, Any]:
        readings = self._document(record.readings)
        if kind != "guard_execution":
            return {"guardCheck": readings}
        execution = {
            "durationNs": record.details.duration_ns,
            "completed": not record.details.error,
            **{_AT_END.get(name, name): value for name, value in readings.items()},
        }
        if record.details.error:
            execution["errorClass"] = self._name(record.details.error)
        return {"guardExecution": execution}

    def _name(self, offset: int) -> str:
        return self._file.text(offset).decode("utf-8", "replace") if offset else ""

    def _document(self, offset: int) -> dict[str, Any]:
        found = self._documents.get(offset)
        if found is None:
            found = self._documents[offset] = _document(self._file.text(offset))
        return found

    def _properties(self, offset: int) -> orjson.Fragment:
        checked = self._checked.get(offset)
        if checked is None:
            text = self._file.text(offset)
            # So that one damaged text does not spoil the batch that it is sent in.
            _document(text)
            checked = self._checked[offset] = orjson.Fragment(text)
        return checked


_AT_END = {
    "rssBytes": "rssEndBytes",
    "cpuTimeNs": "cpuTimeEndNs",
    "gcCount": "gcCountEnd",
}


def _document(text: bytes) -> dict[str, Any]:
    found = orjson.loads(text)
    if type(found) is not dict:
        raise ValueError("a text is damaged")
    return found
