"""The documents of the protocol as they travel: camelCase, strictly typed.

Guards are closed to unknown fields, so a misspelt one is noticed. What clients send is
open to them, so a newer client works with an older backend.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

MAX_COUNT = 2**40
"""Bound on anything counted, far below where sums would leave 64 bits."""

MAX_TIMESTAMP_MS = 2**53
"""Bound on times: the largest whole number that every JSON reader keeps exact."""

Operator = Literal[
    "EQUALS", "NOT_EQUALS", "IN", "NOT_IN", "REGEX", "GT", "GTE", "LT", "LTE"
]


def _whole(value: Any) -> Any:
    """Take a number such as 5.0 as the whole number that JSON holds it to be."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


Name = Annotated[str, Field(min_length=1, max_length=200)]
ReportedName = Annotated[str, Field(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT), BeforeValidator(_whole)]
TimestampMs = Annotated[int, Field(ge=0, le=MAX_TIMESTAMP_MS), BeforeValidator(_whole)]
RequestsPerMinute = Annotated[int, Field(gt=0, le=MAX_COUNT), BeforeValidator(_whole)]


def _check_scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, str) and not _is_encodable(value):
        raise ValueError("must be valid Unicode")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError("must be true, false, a number, text or null")


def _check_encodable(value: Any) -> Any:
    """Refuse what JSON does not know and replace what UTF-8 cannot carry."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if _is_encodable(text):
        return value
    # Half a surrogate pair is legal in JSON's escapes. Refusing the batch for it would
    # lose every other signal in it.
    return json.loads(text.encode(errors="replace"))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Scalar = Annotated[Union[bool, int, float, str, None], BeforeValidator(_check_scalar)]
Document = Annotated[dict[str, Any], AfterValidator(_check_encodable)]


def _check_guard_name(name: str) -> str:
    if {".", ".."} & set(name.split("/")):
        raise ValueError("must not have . or .. between slashes: it is part of URLs")
    return name


GuardName = Annotated[Name, AfterValidator(_check_guard_name)]


class Received(BaseModel):
    """Base of what clients send: unknown fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="ignore")


class Managed(BaseModel):
    """Base of what the management API takes: unknown fields are refused."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="forbid")


class Served(BaseModel):
    """Base of what the management API answers with."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Rule(Managed):
    """One condition of a guard; the first enabled one that matches decides."""

    property_name: Name
    operator: Operator
    values: list[Scalar] = Field(default_factory=list)
    result: bool = False
    enabled: bool = True


class RateLimit(Managed):
    """How often per minute a guard may be open, for each partition."""

    requests_per_minute: RequestsPerMinute
    partition_properties: list[Name] = Field(default_factory=list)


class DryRunRateLimit(RateLimit):
    """A limit that is counted and reported and changes no answer."""

    dry_run_id: Name


class GuardFields(Managed):
    """All of a guard that can be changed, each field on its own."""

    adopted: bool = False
    default_value: bool = False
    rules: list[Rule] = Field(default_factory=list)
    rate_limit: Optional[RateLimit] = None
    dry_run_rate_limit: Optional[DryRunRateLimit] = None
    disable_measurement: bool = False


class Guard(GuardFields):
    """A guard as clients receive it and as the management API takes it."""

    name: GuardName

    def encode(self) -> str:
        """Return the guard as JSON text, without limits that are not set."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class BundleBody(BaseModel):
    """What a fetch is answered with; written by hand, this documents it."""

    model_config = ConfigDict(alias_generator=to_camel)

    guards: list[Guard]
    refresh_rate_seconds: float
    etag: str


class DataRequest(Received):
    """What every request of a client carries."""

    project_client_token: str
    environment: str = ""


class FetchRequest(DataRequest):
    """Asks for the bundle; a protected context is taken and has no effect here."""

    protected_context: Optional[dict[str, Any]] = None


class Signal(Received):
    """One check or execution that happened in a client."""

    signal_id: ReportedName
    guard_name: ReportedName
    kind: ReportedName
    result: bool
    timestamp_ms: TimestampMs
    execution_id: str = ""
    parent_signal_id: Optional[str] = None
    sequence_number: Count = 0
    callsite_id: str = ""
    dropped_signals_since_last: Count = 0
    properties: Document = Field(default_factory=dict)
    measurement: Optional[Document] = None
    rate_limit_decisions: Optional[list[Document]] = None
    trace: Optional[Document] = None


class SignalsRequest(DataRequest):
    """A batch of signals."""

    signals: list[Signal]


class Observation(Received):
    """How often one unadopted guard was asked for since the last report."""

    guard_name: ReportedName
    first_seen_ms: TimestampMs
    last_seen_ms: TimestampMs
    check_count: Count
    estimated_checks_per_minute: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0


class ObservationsRequest(DataRequest):
    """A batch of observations."""

    observations: list[Observation]


class Accepted(BaseModel):
    """What signals and observations are answered with, once they are on disk."""

    accepted: bool = True
