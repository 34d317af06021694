"""Properties in a form that can always be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def _encode_one_by_one(properties: Mapping[str, Any]) -> bytes:
    kept: dict[str, Any] = {}
    room = _LARGEST_PROPERTIES_BYTES
    for name, value in list(properties.items())[:_MAX_PROPERTIES]:
        member = {_text(name): _bounded(value)}
        size = len(orjson.dumps(member))
        if size <= room:
            room -= size
            kept.update(member)
    return orjson.dumps(kept)


def _bounded(value: Any) -> Any:
    # Exact types only: a subclass, such as numpy's floats, may be anything.
    if value is None or type(value) in (bool, float):
        return value
    is_small = type(value) is int and -(2**53) <= value <= 2**53
    return value if is_small else _text(value)


def _text(value: Any) -> str:
    """Return a bounded text of *value*, whatever its own code does."""
    try:
        text = str(value)[:_LONGEST_VALUE_CHARACTERS]
        return text.encode("utf-8", "replace").decode("utf-8")
    except Exception:  # noqa: BLE001  a value's own code may raise anything
        return f"<{type(value).__name__}>"
