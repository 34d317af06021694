"""What can be configured: arguments, environment variables, defaults, checks."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from liteguard.errors import ConfigurationError

VARIABLE_PREFIX = "LITEGUARD_"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
# Longer waits overflow in sockets and locks; nobody can tell them from "never".
LONGEST_WAIT_SECONDS = 1_000_000.0
# A journal of more records is larger than what another process agrees to open.
_MOST_BUFFERED = 1_000_000


def _option(text: str, unit: str = "", *, default: Any) -> Any:
    return field(default=default, metadata={"text": text, "unit": unit})


@dataclass(frozen=True)
class ClientOptions:
    """Everything that can be configured, validated when it is made.

    Each field can also be set by the environment variable ``LITEGUARD_<NAME>``; a field
    left at its default takes the variable's value. ``environment`` has a second
    variable, ``LITEGUARD_ENV``.

    Raises:
        ConfigurationError: A value is out of range; the message names the field, the
            value and what is allowed.
    """

    environment: str = _option(
        "Slug of the environment; empty means the token's own.", default=""
    )
    fallback: bool = _option("Answer while no bundle is there.", default=False)
    refresh_rate_seconds: float = _option(
        "How often the host asks for a new bundle.", "seconds", default=60.0
    )
    flush_rate_seconds: float = _option(
        "How often each process sends its signals.", "seconds", default=60.0
    )
    flush_size: int = _option(
        "Unsent signals that start a flush early.", "signals", default=500
    )
    flush_buffer_multiplier: int = _option(
        "Unsent signals kept at most, as a multiple of `flush_size`.", default=4
    )
    http_timeout_seconds: float = _option(
        "Longest wait for one answer of the backend.", "seconds", default=4.0
    )
    backend_url: str = _option(
        "Base URL of the backend.", default="https://api.liteguard.io"
    )
    quiet: bool = _option("Log nothing about an unreachable backend.", default=False)
    disable_measurement: bool = _option(
        "Leave process readings out of all signals.", default=False
    )
    reload_rate_seconds: float = _option(
        "How often a follower looks at the snapshot.", "seconds", default=1.0
    )
    start_timeout_seconds: float = _option(
        "Longest that `start()` waits for a first bundle.", "seconds", default=5.0
    )
    state_dir: Optional[str] = _option(
        "Folder shared by the processes of a host; found by itself if not set.",
        default=None,
    )
    unadopted_open: bool = _option(
        "Answer for a guard that nobody has adopted.", default=False
    )
    ca_bundle: Optional[str] = _option(
        "File with the certificate authorities to trust.", default=None
    )
    proxies: Optional[Mapping[str, str]] = _option(
        "Proxy URL by scheme; as a variable, one URL for both.", default=None
    )
    bootstrap: Optional[Union[str, Mapping[str, Any]]] = _option(
        "Bundle used until the first one is there: a JSON file or a dict.", default=None
    )

    def __post_init__(self) -> None:
        """Check every field and normalise numbers and the URL."""
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))
        if self.flush_size * self.flush_buffer_multiplier > _MOST_BUFFERED:
            most = f"{_MOST_BUFFERED // self.flush_buffer_multiplier} or less"
            allowed = f"{most}: times flush_buffer_multiplier a million at most"
            raise _refuse("flush_size", self.flush_size, allowed)


def resolve_options(
    options: Union[ClientOptions, Mapping[str, Any], None],
    given: Mapping[str, Any],
    variables: Mapping[str, str] = os.environ,
) -> ClientOptions:
    """Return the options in force: an argument beats a variable beats the default.

    Args:
        options: An options object or a dict of fields, or ``None``.
        given: Fields passed by keyword; they beat *options*.
        variables: The environment variables.

    Raises:
        ConfigurationError: An option is unknown or its value is not allowed.
    """
    values = {**_from_variables(variables), **_from_object(options), **given}
    unknown = sorted(set(values) - set(_FIELDS), key=str)
    if unknown:
        raise ConfigurationError(
            f"unknown option {unknown[0]!r}; known are: {', '.join(_FIELDS)}",
            field=unknown[0],
        )
    return ClientOptions(**values)


def resolve_token(
    token: Optional[str], variables: Mapping[str, str] = os.environ
) -> str:
    """Return the project client token, from the argument or ``LITEGUARD_TOKEN``.

    Raises:
        ConfigurationError: There is none, or it cannot be sent in a header. The
            message never contains it.
    """
    found = variables.get("LITEGUARD_TOKEN", "") if token is None else token
    if not isinstance(found, str):
        problem = f"must be a str, got {type(found).__name__}"
    elif not found.strip():
        problem = (
            "is empty: pass LiteguardClient(token) or set LITEGUARD_TOKEN to a "
            "Project Client Token of your Liteguard project"
        )
    elif not _is_header_text(found):
        problem = "holds what no header can: copy it again, without line breaks"
    else:
        return found
    raise ConfigurationError(
        f"the project client token {problem}", field="project_client_token"
    )


def variable_names(name: str) -> tuple[str, ...]:
    """Return the environment variables that set option *name*, strongest first."""
    plain = VARIABLE_PREFIX + name.upper()
    return ("LITEGUARD_ENV", plain) if name == "environment" else (plain,)


def _from_object(
    options: Union[ClientOptions, Mapping[str, Any], None],
) -> dict[str, Any]:
    if options is None:
        return {}
    if isinstance(options, Mapping):
        return dict(options)
    if not dataclasses.is_dataclass(options) or isinstance(options, type):
        raise ConfigurationError(
            "options must be a ClientOptions or a dict of its fields, "
            f"got {type(options).__name__}",
            field="options",
        )
    return {
        item.name: getattr(options, item.name)
        for item in dataclasses.fields(options)
        if getattr(options, item.name) != item.default
    }


def _from_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _FIELDS:
        for variable in variable_names(name):
            if variables.get(variable) and name not in found:
                found[name] = _parse(name, variable, variables[variable])
    return found


def _parse(name: str, variable: str, text: str) -> Any:
    default = _FIELDS[name].default
    if isinstance(default, bool):
        return _parse_bool(name, variable, text)
    if isinstance(default, (int, float)):
        try:
            return type(default)(text)
        except ValueError:
            raise ConfigurationError(
                f"{variable}={text!r} is not a number", field=name
            ) from None
    return {"http": text, "https": text} if name == "proxies" else text


def _parse_bool(name: str, variable: str, text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise ConfigurationError(
            f"{variable}={text!r} is neither true nor false", field=name
        )
    return lowered in _TRUE


def _is_header_text(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _refuse(name: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{name}={value!r}: must be {allowed}", field=name)


def _positive_number(name: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise _refuse(name, value, "a number of seconds above 0")
    return float(min(value, LONGEST_WAIT_SECONDS))


def _positive_int(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _refuse(name, value, "a whole number, 1 or more")
    return value


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, value, "True or False")
    return value


def _slug(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _is_header_text(value):
        raise _refuse(name, value, "a slug of printable ASCII without spaces")
    return value


def _url(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not _is_base_url(value):
        raise _refuse(name, value, "a URL such as https://api.liteguard.io")
    return value.rstrip("/")


def _is_base_url(text: str) -> bool:
    # Kept out of "import liteguard": it brings ipaddress, a tenth of its cost.
    from urllib.parse import urlsplit  # noqa: PLC0415

    try:
        parts = urlsplit(text)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_whole and parts.scheme in {"http", "https"} and not set(text) & set(" ?#")


def _path(name: str, value: Any) -> Optional[str]:
    if value is None:
        return None
    try:
        text = os.fspath(value)
    except TypeError:
        raise _refuse(name, value, "a path") from None
    if not isinstance(text, str) or not text or "\0" in text:
        raise _refuse(name, value, "a path")
    return text


def _proxies(name: str, value: Any) -> Optional[Mapping[str, str]]:
    if value is None or isinstance(value, Mapping):
        return value
    raise _refuse(name, value, 'a dict such as {"https": "http://proxy:3128"}')


def _bootstrap(name: str, value: Any) -> Optional[Union[str, Mapping[str, Any]]]:
    return value if isinstance(value, Mapping) else _path(name, value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "environment": _slug,
    "fallback": _boolean,
    "refresh_rate_seconds": _positive_number,
    "flush_rate_seconds": _positive_number,
    "flush_size": _positive_int,
    "flush_buffer_multiplier": _positive_int,
    "http_timeout_seconds": _positive_number,
    "backend_url": _url,
    "quiet": _boolean,
    "disable_measurement": _boolean,
    "reload_rate_seconds": _positive_number,
    "start_timeout_seconds": _positive_number,
    "state_dir": _path,
    "unadopted_open": _boolean,
    "ca_bundle": _path,
    "proxies": _proxies,
    "bootstrap": _bootstrap,
}
_FIELDS = {item.name: item for item in dataclasses.fields(ClientOptions)}
