"""Records in their wire form, and what damage does to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from journals import new_file, new_journal, site_in, store
from liteguard.telemetry.signals import SignalEncoder

if TYPE_CHECKING:
    from liteguard.telemetry.journal import Journal
    from liteguard.telemetry.journal_file import JournalFile

NANOSECONDS = 2**63


class Pages:
    """A journal whose records are written by hand."""

    def __init__(self) -> None:
        self.file: JournalFile = new_file(None)
        self._journal: Journal = new_journal(self.file)

    def text(self, text: str) -> int:
        """Write a text and return where it lies."""
        return self._journal.write_text(text, text.encode())

    def signal(self, *, dropped: int = 0, **fields: Any) -> dict[str, Any]:
        """Return the signal of a record with these fields."""
        if "site" not in fields:
            fields["site"] = self.site()
        store(self.file, 1, **fields)
        (record,) = self.file.read(1, waits_for_holes=False).records
        encoded = SignalEncoder(self.file).encode(record, dropped)
        signal: dict[str, Any] = orjson.loads(encoded)
        return signal

    def site(self, **fields: Any) -> int:
        """Write a site and return where it lies."""
        return site_in(self._journal, **fields)


@pytest.fixture
def pages() -> Pages:
    """Return an empty journal."""
    return Pages()


def test_record_of_a_check_becomes_a_signal(pages: Pages) -> None:
    """These are all its fields; those that say nothing are left out."""
    own_id = f"{pages.file.owner.nonce}-1"
    signal = pages.signal(
        seconds=1_700_000_000.1234,
        properties=pages.text('{"plan": "pro"}'),
        dropped=3,
    )
    assert signal == {
        "guardName": "a.guard",
        "result": True,
        "properties": {"plan": "pro"},
        "timestampMs": 1_700_000_000_123,
        "signalId": own_id,
        "executionId": own_id,
        "sequenceNumber": 1,
        "callsiteId": "app.py:7",
        "kind": "guard_check",
        "droppedSignalsSinceLast": 3,
    }


def test_record_without_properties_has_none(pages: Pages) -> None:
    """The field is there, and empty."""
    assert pages.signal()["properties"] == {}


def test_parent_in_the_same_journal_is_a_number(pages: Pages) -> None:
    """It takes eight bytes, and becomes an id."""
    parent = pages.signal(parent_number=255)["parentSignalId"]
    assert parent == f"{pages.file.owner.nonce}-ff"


def test_parent_in_another_journal_is_a_text(pages: Pages) -> None:
    """A seal came between the two."""
    assert pages.signal(parent=pages.text("other-1"))["parentSignalId"] == "other-1"


def test_readings_of_a_check_are_sent_as_they_are(pages: Pages) -> None:
    """They are those of the moment of the check."""
    readings = pages.text('{"rssBytes": 1, "cpuTimeNs": 2, "gcCount": 3}')
    assert pages.signal(readings=readings)["measurement"] == {
        "guardCheck": {"rssBytes": 1, "cpuTimeNs": 2, "gcCount": 3}
    }


@pytest.mark.parametrize("error", ["", "ValueError"])
def test_readings_of_an_execution_are_those_of_its_end(
    pages: Pages, error: str
) -> None:
    """Duration, outcome, and what the process used by then."""
    measured = pages.signal(
        site=pages.site(kind="guard_execution"),
        duration_ns=NANOSECONDS,
        error=pages.text(error) if error else 0,
        readings=pages.text('{"rssBytes": 1, "cpuTimeNs": 2, "gcCount": 3}'),
    )["measurement"]
    failed = {"errorClass": error} if error else {}
    assert measured == {
        "guardExecution": {
            "durationNs": NANOSECONDS,
            "completed": not error,
            "rssEndBytes": 1,
            "cpuTimeEndNs": 2,
            "gcCountEnd": 3,
            **failed,
        }
    }


def test_decisions_of_limits_are_sent_as_they_are(pages: Pages) -> None:
    """They were encoded when the limit decided."""
    decisions = [{"evaluationTarget": "active", "outcome": "limited"}]
    limits = pages.text(orjson.dumps(decisions).decode())
    assert pages.signal(limits=limits)["rateLimitDecisions"] == decisions


def test_name_that_was_cut_within_a_letter_is_sent(pages: Pages) -> None:
    """Names are bounded in bytes."""
    cut = pages._journal.write_text("cut", "é".encode()[:1])
    readings = pages.text("{}")
    site = pages.site(kind="guard_execution")
    measured = pages.signal(site=site, error=cut, readings=readings)["measurement"]
    assert measured["guardExecution"]["errorClass"] == "�"


@pytest.mark.parametrize(
    "field", ["site", "properties", "execution", "parent", "readings", "limits"]
)
def test_reference_that_leads_nowhere_is_an_error(pages: Pages, field: str) -> None:
    """The record is lost, and counted by who reads it."""
    with pytest.raises(ValueError, match="damaged"):
        pages.signal(**{field: 2**31})


@pytest.mark.parametrize("field", ["site", "properties", "readings", "limits"])
@pytest.mark.parametrize("text", ["no JSON", '{"x": ', '{"x": 1}\0\0', "\0"])
def test_text_that_is_no_json_is_an_error(pages: Pages, field: str, text: str) -> None:
    """Sent as it is, it would make the backend refuse the whole batch."""
    with pytest.raises(orjson.JSONDecodeError):
        pages.signal(**{field: pages.text(text)})


@pytest.mark.parametrize("field", ["site", "properties", "readings"])
@pytest.mark.parametrize("text", ["[]", "1", "null", '"text"'])
def test_text_that_is_no_document_is_an_error(
    pages: Pages, field: str, text: str
) -> None:
    """The backend takes nothing else there."""
    with pytest.raises(ValueError, match="damaged"):
        pages.signal(**{field: pages.text(text)})


def test_record_without_a_guard_is_an_error(pages: Pages) -> None:
    """There is no signal without one."""
    with pytest.raises(ValueError, match="damaged"):
        pages.signal(site=0)


@pytest.mark.parametrize("site", ["{}", '{"guardName": 1, "kind": "x"}', '{"kind": 1}'])
def test_site_without_a_name_is_an_error(pages: Pages, site: str) -> None:
    """Another text lies where a site should."""
    with pytest.raises(ValueError, match="damaged"):
        pages.signal(site=pages.text(site))


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 1e300])
def test_time_that_no_clock_tells_is_an_error(pages: Pages, seconds: float) -> None:
    """The page with the record did not reach the disk whole."""
    with pytest.raises(ValueError, match="time"):
        pages.signal(seconds=seconds)
