"""What one call of a check passes: gathered, checked, and made one thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Union

from liteguard.process.logs import logger
from liteguard.types import Options

CallOptions = Union[Options, Mapping[str, Any], None]


Call = tuple[Mapping[str, Any], Optional[bool], Optional[bool]]
"""What one call adds to its subject: properties, fallback, disable_measurement.

No named tuple: making one takes as long as deciding a guard.
"""

NO_CALL: Call = ({}, None, None)
"""The usual call, which adds nothing."""
_FIELDS = ("properties", "fallback", "disable_measurement")
_PLAIN = frozenset({str, bool, int, float, type(None)})
_MAX_REPORTED = 100
_reported: set[str] = set()


def call_of(
    options: CallOptions,
    properties: Optional[Mapping[str, Any]],
    fallback: object,
    disable_measurement: object,
) -> Call:
    """Gather the arguments of a check; keywords beat the options object.

    Raises:
        TypeError: An argument is of the wrong kind; the message says what is right.
    """
    if options is properties is fallback is disable_measurement is None:
        return NO_CALL
    if options is None and type(properties) is dict and fallback is None:
        # Nearly every other call is like this one.
        values = checked_properties(properties, {})
        return values, None, _flag("disable_measurement", disable_measurement)
    given, otherwise, is_disabled = (
        NO_CALL if options is None else _from_options(options)
    )
    if properties is not None and not isinstance(properties, Mapping):
        _refuse_properties(properties)
    return (
        checked_properties(given, properties or {}),
        _flag("fallback", otherwise if fallback is None else fallback),
        _flag(
            "disable_measurement",
            is_disabled if disable_measurement is None else disable_measurement,
        ),
    )


def given_properties(
    properties: Optional[Mapping[str, Any]], more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what was given as a dict, by keyword, or as a dict by keyword.

    The last is how the published package's users may call: no property is a dict.

    Raises:
        TypeError: *properties* is no dict.
    """
    named = more.get("properties")
    if properties is None and isinstance(named, Mapping):
        more = {name: value for name, value in more.items() if name != "properties"}
        properties = named
    return checked_properties(properties, more)


def checked_properties(
    properties: Optional[Mapping[str, Any]], more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return both together; a value that no rule can match is logged once by name.

    Raises:
        TypeError: *properties* is no dict.
    """
    # In this order: asking an abstract class takes longer than all the rest.
    if type(properties) is not dict and properties is not None:
        if not isinstance(properties, Mapping):
            _refuse_properties(properties)
        properties = dict(properties)
    values = {**(properties or {}), **more}
    if not _PLAIN.issuperset(map(type, values.values())):
        for name, value in values.items():
            _report(name, value)
    return values


def _from_options(options: CallOptions) -> Call:
    if isinstance(options, Options):
        return options.properties, options.fallback, options.disable_measurement
    if not isinstance(options, Mapping):
        raise TypeError(
            "options of a check must be an Options object or a dict, got "
            f"{type(options).__name__}; properties go into properties={{...}}"
        )
    unknown = sorted(set(options) - set(_FIELDS), key=str)
    if unknown:
        raise TypeError(
            f"unknown option {unknown[0]!r} of a check; known are: {', '.join(_FIELDS)}"
        )
    return (
        options.get("properties") or {},
        options.get("fallback"),
        options.get("disable_measurement"),
    )


def _flag(name: str, value: object) -> Optional[bool]:
    if value is None or isinstance(value, bool):
        return value
    raise TypeError(f"{name} must be True or False, got {value!r}")


def _refuse_properties(properties: object) -> Any:
    raise TypeError(
        f"properties must be a dict, got {type(properties).__name__}: "
        'pass {"plan": "pro"} or plan="pro"'
    )


def _report(name: object, value: object) -> None:
    is_known = value is None or isinstance(value, (str, int, float))
    if is_known or len(_reported) >= _MAX_REPORTED:
        return
    text = f"{name!s:.100}"
    if text not in _reported:
        _reported.add(text)
        logger.warning(
            "liteguard: property %r is of type %s, which no rule can match: "
            "pass a str, bool, int or float, such as str(value)",
            text,
            type(value).__name__,
        )
