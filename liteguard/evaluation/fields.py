"""Reads the fields of decoded JSON objects, strict about types.

A null counts as a field that was left out, and a flag that is null as false, as in the
published package. Messages name types and never values: those are the user's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Optional

from liteguard.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_LIMIT = 2**53


def read_flag(raw: Mapping[str, Any], field: str, *, default: bool = False) -> bool:
    """Return a boolean field."""
    value = raw.get(field, default)
    if value is None:
        return False
    if not isinstance(value, bool):
        _refuse(field, "true or false", value)
    return value


def read_text(raw: Mapping[str, Any], field: str) -> str:
    """Return a field that must be there as text."""
    value = raw.get(field)
    if not isinstance(value, str):
        _refuse(field, "text", value)
    return value


def read_list(raw: Mapping[str, Any], field: str) -> tuple[Any, ...]:
    """Return an array as a tuple; empty if it was left out."""
    value = raw.get(field)
    if value is None:
        return ()
    if not isinstance(value, list):
        _refuse(field, "an array", value)
    return tuple(value)


def read_names(raw: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """Return an array of texts."""
    names = read_list(raw, field)
    for name in names:
        if not isinstance(name, str):
            _refuse(field, "an array of texts", name)
    return names


def read_object(raw: Mapping[str, Any], field: str) -> Optional[dict[str, Any]]:
    """Return an object, or ``None`` if it was left out."""
    value = raw.get(field)
    if value is not None and not isinstance(value, dict):
        _refuse(field, "an object", value)
    return value


def read_limit(raw: Mapping[str, Any], field: str) -> Optional[int]:
    """Return a limit per minute, or ``None`` for unlimited: left out, 0 or less.

    What no host could ever reach is unlimited too, so that a limit fits into a double.
    """
    value = raw.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(field, "a whole number", value)
    if isinstance(value, float) and not value.is_integer():
        _refuse(field, "a whole number", value)
    return int(value) if 0 < value <= _LARGEST_LIMIT else None


def _refuse(field: str, wanted: str, value: object) -> NoReturn:
    found = "null or nothing" if value is None else type(value).__name__
    raise BundleError(f"{field} must be {wanted}, not {found}", field=field)
