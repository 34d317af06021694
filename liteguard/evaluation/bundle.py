"""Guards and bundles as data, and finding the guards in what the backend sends.

`decode_bundle` only finds where each guard begins and ends; `decoding` reads one. So a
guard that nobody asks for costs next to nothing, and a bad one spoils no other.
"""

from __future__ import annotations

import codecs
import math
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Optional

from liteguard.errors import BundleError
from liteguard.evaluation.walk import TOO_DEEP, Cursor

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PROBLEMS = 10


class Operator(str, Enum):
    """How a rule compares a property with its values."""

    EQUALS = "EQUALS"
    NOT_EQUALS = "NOT_EQUALS"
    IN = "IN"
    NOT_IN = "NOT_IN"
    REGEX = "REGEX"
    GT = "GT"
    GTE = "GTE"
    LT = "LT"
    LTE = "LTE"


@dataclass(frozen=True)
class Rule:
    """One condition of a guard, and the answer where it holds.

    Args:
        property_name: The property that is compared.
        operator: How it is compared.
        values: What it is compared with; most operators look at the first only.
        result: The guard's answer if this rule is the first to match.
        enabled: Whether the rule takes part; if not, it still counts in the indexes.
    """

    property_name: str
    operator: Operator
    values: tuple[Any, ...] = ()
    result: bool = False
    enabled: bool = True


@dataclass(frozen=True)
class RateLimit:
    """How often an open guard may answer so.

    Args:
        requests_per_minute: At least 1.
        partition_properties: Each combination of these has a count of its own.
    """

    requests_per_minute: int
    partition_properties: tuple[str, ...] = ()


@dataclass(frozen=True)
class DryRunRateLimit:
    """A rate limit that is counted and reported but changes no answer.

    Args:
        dry_run_id: Names the trial in signals.
        requests_per_minute: At least 1.
        partition_properties: Each combination of these has a count of its own.
    """

    dry_run_id: str
    requests_per_minute: int
    partition_properties: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guard:
    """One feature switch.

    Args:
        name: Its name.
        adopted: Whether someone took it up at the backend.
        default_value: The answer where no rule matches.
        rules: Tried in order; the first enabled one that matches decides.
        rate_limit: Applied where the answer is open; ``None`` is unlimited.
        dry_run_rate_limit: Counted beside it; ``None`` if there is none.
        disable_measurement: Whether its signals leave process readings out.
    """

    name: str
    adopted: bool = False
    default_value: bool = False
    rules: tuple[Rule, ...] = ()
    rate_limit: Optional[RateLimit] = None
    dry_run_rate_limit: Optional[DryRunRateLimit] = None
    disable_measurement: bool = False


@dataclass(frozen=True)
class Bundle:
    """All guards as served, not yet read one by one.

    Args:
        etag: The tag to ask with next time; "" if there is none that a header can hold.
        refresh_rate_seconds: How often the backend wants to be asked; ``None`` if it
            did not say.
        documents: Each guard's JSON in UTF-8 by name; cannot be changed.
        problems: What was left out or repaired, in a bounded number of texts.
    """

    etag: str
    refresh_rate_seconds: Optional[float]
    documents: Mapping[str, bytes]
    problems: tuple[str, ...] = ()


def decode_bundle(body: bytes) -> Bundle:
    """Find the guards in what the backend sent, without reading them.

    Takes time in proportion to *body*, whose size is the caller's to bound, in steps
    between which other threads run. Thread-safe.

    Args:
        body: JSON in UTF-8. Bytes that are not UTF-8 spoil only the guard they are in.

    Raises:
        BundleError: It is no JSON object, or its ``guards`` is no array.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    # One character for each byte: all that JSON is built with is ASCII, positions are
    # those in the bytes, and decoding UTF-8 would hold the GIL too long.
    cursor = Cursor(body.decode("latin-1"))
    problems: list[str] = []
    documents: Optional[dict[str, bytes]] = None
    fields: dict[str, object] = {}
    for key in cursor.members():
        if key == "guards":
            documents = _find_guards(cursor, body, problems)
        else:
            fields[key] = cursor.value()
    cursor.finish()
    if documents is None:
        raise BundleError("guards is missing", field="guards")
    return Bundle(
        etag=_etag(fields.get("etag"), problems),
        refresh_rate_seconds=_seconds(fields.get("refreshRateSeconds"), problems),
        documents=MappingProxyType(documents),
        problems=summary(problems),
    )


def summary(problems: list[str]) -> tuple[str, ...]:
    """Return the first problems, and how many there are besides."""
    more = len(problems) - _MOST_PROBLEMS
    rest = (f"and {more} more problems",) if more > 0 else ()
    return (*problems[:_MOST_PROBLEMS], *rest)


def _find_guards(cursor: Cursor, body: bytes, problems: list[str]) -> dict[str, bytes]:
    if not cursor.is_at_array():
        raise BundleError("guards must be an array", field="guards")
    documents: dict[str, bytes] = {}
    for index, _ in enumerate(cursor.elements()):
        value, place = cursor.value_and_place()
        document = body[place]
        name = _name(value, document)
        if not isinstance(name, str) or not name:
            problems.append(f"guard number {index} left out: {_defect(value)}")
            continue
        if name in documents:
            problems.append(f"guard {name!r:.80} comes twice: the last one counts")
        documents[name] = document
    return documents


def _name(value: object, document: bytes) -> object:
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or name.isascii():
        return name
    # Found in bytes taken for characters: read it again in those that it is made of.
    value = Cursor(document.decode(errors="surrogateescape")).value()
    return value.get("name") if isinstance(value, dict) else None


def _defect(value: object) -> str:
    if value is TOO_DEEP:
        return "it is nested too deeply"
    return "it has no name" if isinstance(value, dict) else "it is no object"


def _etag(value: object, problems: list[str]) -> str:
    """Return the tag if a header can hold it: it is sent back in one."""
    if value is None:
        return ""
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value
    problems.append("etag ignored: it must be printable ASCII text")
    return ""


def _seconds(value: object, problems: list[str]) -> Optional[float]:
    if value is None:
        return None
    if isinstance(value, float) and math.isfinite(value):
        return value if value > 0 else None
    problems.append("refreshRateSeconds ignored: it must be a number")
    return None
