"""Type names shared by the whole package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

PropertyValue = Union[bool, int, float, str]
"""What a rule can compare. Other values are accepted and never match."""

Properties = Mapping[str, Any]
"""Facts about the caller, by name."""


@dataclass(frozen=True)
class Options:
    """Per-check options, as the published package passes them.

    Args:
        properties: Laid over the scope's properties for this check alone.
        fallback: Answer while no bundle is there; ``None`` takes the client's.
        disable_measurement: Leave process readings out of this check's signal.
    """

    properties: Mapping[str, Any] = field(default_factory=dict)
    fallback: Optional[bool] = None
    disable_measurement: Optional[bool] = None


@dataclass(frozen=True)
class ProtectedContext:
    """Properties vouched for by a signature; passed to the backend verbatim.

    The signature is never computed nor checked here: only the backend knows how.

    Args:
        signature: What the signer made; kept out of representations and logs.
        properties: The signed properties, text by text.
        issued_at: As the signer stated it, or ``None``.
        expires_at: As the signer stated it, or ``None``.
    """

    signature: str = field(repr=False)
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    issued_at: Optional[int] = None
    expires_at: Optional[int] = None
