from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteguard.errors import ConfigurationError, LiteguardError
from liteguard.options import (
    ClientOptions,
    resolve_options,
    resolve_token,
    variable_names,
)

NAMES = [item.name for item in dataclasses.fields(ClientOptions)]
SECONDS = [name for name in NAMES if name.endswith("_seconds")]
COUNTS = ["flush_size", "flush_buffer_multiplier"]
FLAGS = ["fallback", "quiet", "disable_measurement", "unadopted_open"]
PATHS = ["state_dir", "ca_bundle"]

FROM_VARIABLES: dict[str, tuple[str, Any]] = {
    "environment": ("staging", "staging"),
    "fallback": ("true", True),
    "refresh_rate_seconds": ("2.5", 2.5),
    "flush_rate_seconds": ("3", 3.0),
    "flush_size": ("7", 7),
    "flush_buffer_multiplier": ("2", 2),
    "http_timeout_seconds": ("0.5", 0.5),
    "backend_url": ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
    "quiet": ("1", True),
    "disable_measurement": ("YES", True),
    "reload_rate_seconds": ("0.1", 0.1),
    "start_timeout_seconds": ("9", 9.0),
    "state_dir": ("/var/lib/app", "/var/lib/app"),
    "unadopted_open": ("on", True),
    "ca_bundle": ("/etc/ca.pem", "/etc/ca.pem"),
    "proxies": ("http://p:1", {"http": "http://p:1", "https": "http://p:1"}),
    "bootstrap": ("bundle.json", "bundle.json"),
}
"""For each option the text of its variable, and what comes of it."""


def resolved(**given: Any) -> ClientOptions:
    """Return the options where nothing but *given* is configured."""
    return resolve_options(None, given, {})


# -- where values come from


def test_the_defaults_are_those_of_the_published_package() -> None:
    """Who passes nothing gets what the published package does, within the new rules."""
    options = resolved()
    assert options.environment == ""
    assert options.fallback is False
    assert options.refresh_rate_seconds == 60.0
    assert options.flush_rate_seconds == 60.0
    assert options.flush_size == 500
    assert options.flush_buffer_multiplier == 4
    assert options.http_timeout_seconds == 4.0
    assert options.backend_url == "https://api.liteguard.io"
    assert options.quiet is False
    assert options.unadopted_open is False


def test_every_option_has_a_variable() -> None:
    """No option can be set by argument alone."""
    assert sorted(FROM_VARIABLES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_sets_its_option(name: str) -> None:
    """Each of an option's variables gives it a value of the right type."""
    text, value = FROM_VARIABLES[name]
    for variable in variable_names(name):
        found = getattr(resolve_options(None, {}, {variable: text}), name)
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_beats_the_variable(name: str) -> None:
    """What the program says counts more than what its surroundings say."""
    text, value = FROM_VARIABLES[name]
    default = getattr(ClientOptions(), name)
    variables = dict.fromkeys(variable_names(name), text)
    assert getattr(resolve_options(None, {name: default}, variables), name) == default
    assert getattr(resolve_options({name: default}, {}, variables), name) == default
    assert getattr(resolve_options(None, {}, variables), name) == value


def test_a_keyword_beats_the_object() -> None:
    """Fields by keyword are laid over an options object."""
    base = ClientOptions(flush_size=7, environment="a")
    options = resolve_options(base, {"environment": "b"}, {})
    assert (options.flush_size, options.environment) == (7, "b")


def test_a_field_left_at_its_default_takes_the_variable() -> None:
    """An options object says only what differs from the defaults."""
    base = ClientOptions(flush_size=7)
    options = resolve_options(base, {}, {"LITEGUARD_ENV": "staging"})
    assert (options.flush_size, options.environment) == (7, "staging")


def test_the_short_name_of_the_environment_beats_the_long_one() -> None:
    """``LITEGUARD_ENV`` and ``LITEGUARD_ENVIRONMENT`` name the same option."""
    both = {"LITEGUARD_ENV": "short", "LITEGUARD_ENVIRONMENT": "long"}
    assert resolve_options(None, {}, both).environment == "short"
    assert resolve_options(None, {}, {**both, "LITEGUARD_ENV": ""}).environment == (
        "long"
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_no_setting(name: str) -> None:
    """A variable that is there and empty leaves the default."""
    variables = dict.fromkeys(variable_names(name), "")
    assert resolve_options(None, {}, variables) == ClientOptions()


def test_the_surroundings_are_read_when_the_client_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A variable set after the import counts."""
    monkeypatch.setenv("LITEGUARD_FLUSH_SIZE", "9")
    monkeypatch.setenv("LITEGUARD_TOKEN", "pct-late")
    assert resolve_options(None, {}).flush_size == 9
    assert resolve_token(None) == "pct-late"


def test_the_published_packages_options_object_is_understood() -> None:
    """Any dataclass with fields of the same names will do."""

    @dataclass
    class LiteguardOptions:
        environment: str = ""
        flush_size: int = 500

    options = resolve_options(LiteguardOptions("env", 8), {}, {})  # type: ignore[arg-type]  # another package's class
    assert (options.environment, options.flush_size) == ("env", 8)


@pytest.mark.parametrize("wrong", ["text", 3, ["flush_size"], ClientOptions])
def test_options_of_another_kind_are_refused(wrong: Any) -> None:
    """A list, a text or the class itself is no options object."""
    with pytest.raises(ConfigurationError, match="options must be"):
        resolve_options(wrong, {}, {})


def test_an_unknown_option_is_refused_and_the_known_ones_named() -> None:
    """A misspelt option is an error at once, not a silent default."""
    with pytest.raises(ConfigurationError, match=r"'flush_sise'.*flush_size") as caught:
        resolved(flush_sise=5)
    assert caught.value.field == "flush_sise"


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_described(name: str) -> None:
    """Each field carries its text, and a unit where it has one."""
    (item,) = (f for f in dataclasses.fields(ClientOptions) if f.name == name)
    assert item.metadata["text"].endswith(".")
    assert bool(name in SECONDS) == (item.metadata["unit"] == "seconds")


def test_options_cannot_be_changed_afterwards() -> None:
    """What was validated stays as it is."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolved().flush_size = 3  # type: ignore[misc]  # that it fails is the point


# -- what values are allowed


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize(
    "wrong",
    [0, -1, 0.0, float("nan"), float("inf"), True, "5", None],
    ids=repr,
)
def test_seconds_are_a_number_that_a_clock_can_count(name: str, wrong: Any) -> None:
    """Nothing that is no positive time of bearable length is accepted."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        resolved(**{name: wrong})
    assert caught.value.field == name


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("right", [1, 0.001, 86_400, 1_000_000])
def test_seconds_may_be_whole_or_not(name: str, right: float) -> None:
    """Seconds are kept as a float."""
    found = getattr(resolved(**{name: right}), name)
    assert found == right
    assert isinstance(found, float)


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("long", [1e7, 1e300, 10**400], ids=["1e7", "1e300", "10**400"])
def test_more_seconds_than_a_clock_can_count_are_a_million(
    name: str, long: float
) -> None:
    """Who means "never" gets the longest wait that sockets and locks accept."""
    assert getattr(resolved(**{name: long}), name) == 1e6


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("wrong", [0, -1, 1.5, 2.0, True, "5", None], ids=repr)
def test_counts_are_whole_and_positive(name: str, wrong: Any) -> None:
    """A count is an int from 1 on."""
    with pytest.raises(ConfigurationError, match=name):
        resolved(**{name: wrong})


def test_the_buffer_has_a_largest_size() -> None:
    """A buffer of more signals than a journal can hold is refused, with the bound."""
    assert resolved(flush_size=250_000).flush_size == 250_000
    with pytest.raises(ConfigurationError, match="250000 or less"):
        resolved(flush_size=250_001)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("wrong", [0, 1, "true", None], ids=repr)
def test_flags_are_true_or_false(name: str, wrong: Any) -> None:
    """A truthy value is no boolean: "false" is truthy too."""
    with pytest.raises(ConfigurationError, match=name):
        resolved(**{name: wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        "api.liteguard.io",
        "ftp://api.liteguard.io",
        "https://",
        "https:///guards",
        "http://[::1",
        "http://host:99999",
        "http://host:port",
        "https://api.example.com/?tenant=1",
        "https://api.example.com/#top",
        "https://api example.com",
        "https://api.example.com/\n",
        "",
        None,
        b"https://api.liteguard.io",
    ],
    ids=repr,
)
def test_a_backend_url_that_cannot_work_is_refused(wrong: Any) -> None:
    """What cannot be the beginning of an address is an error at once."""
    with pytest.raises(ConfigurationError, match="backend_url"):
        resolved(backend_url=wrong)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.liteguard.io/", "https://api.liteguard.io"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000//", "http://[::1]:8000"),
        ("https://proxy.example.com/liteguard/", "https://proxy.example.com/liteguard"),
        ("HTTPS://API.example.com", "HTTPS://API.example.com"),
    ],
)
def test_a_backend_url_loses_its_trailing_slash(given: str, kept: str) -> None:
    """Both ways of writing the address of a backend are the same."""
    assert resolved(backend_url=given).backend_url == kept


@pytest.mark.parametrize("wrong", ["two words", "line\nbreak", "größe", None, 3])
def test_an_environment_that_no_header_can_hold_is_refused(wrong: Any) -> None:
    """The slug goes into a header, so it is printable ASCII."""
    with pytest.raises(ConfigurationError, match="environment"):
        resolved(environment=wrong)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("wrong", ["", "a\0b", 3, b"bytes"], ids=repr)
def test_a_path_is_text(name: str, wrong: Any) -> None:
    """What the file system could not take is refused at once."""
    with pytest.raises(ConfigurationError, match=name):
        resolved(**{name: wrong})


@pytest.mark.parametrize("name", [*PATHS, "bootstrap"])
def test_a_path_object_is_a_path(name: str) -> None:
    """Paths may be given as `pathlib.Path`."""
    assert getattr(resolved(**{name: Path("/a/b")}), name) == "/a/b"


def test_a_bootstrap_may_be_a_dict() -> None:
    """A bundle may come along as data."""
    bundle: dict[str, Any] = {"guards": []}
    assert resolved(bootstrap=bundle).bootstrap == bundle


def test_proxies_are_a_dict() -> None:
    """One text would leave open for which scheme."""
    with pytest.raises(ConfigurationError, match="proxies"):
        resolved(proxies="http://proxy:3128")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("LITEGUARD_REFRESH_RATE_SECONDS", "often"),
        ("LITEGUARD_REFRESH_RATE_SECONDS", "-1"),
        ("LITEGUARD_REFRESH_RATE_SECONDS", "nan"),
        ("LITEGUARD_FLUSH_SIZE", "1.5"),
        ("LITEGUARD_QUIET", "perhaps"),
        ("LITEGUARD_BACKEND_URL", "localhost"),
    ],
)
def test_a_variable_with_a_wrong_value_is_an_error(variable: str, text: str) -> None:
    """A misspelt setting is told at the start, with the text that is wrong."""
    with pytest.raises(ConfigurationError, match=text.lstrip("-")):
        resolve_options(None, {}, {variable: text})


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), (" On ", True), ("no", False), ("FALSE", False)],
)
def test_a_flag_may_be_spelt_in_many_ways(text: str, value: object) -> None:
    """The usual words for true and false are understood, in any case."""
    assert resolve_options(None, {}, {"LITEGUARD_QUIET": text}).quiet is value


@given(st.sampled_from(NAMES), st.text() | st.floats() | st.integers() | st.none())
def test_no_value_does_anything_but_work_or_be_refused(name: str, value: Any) -> None:
    """Whatever is passed, the only exception is a `ConfigurationError`."""
    with contextlib.suppress(ConfigurationError):
        resolved(**{name: value})


@given(st.sampled_from(NAMES), st.text())
def test_no_variable_does_anything_but_work_or_be_refused(name: str, text: str) -> None:
    """Whatever a variable holds, the only exception is a `ConfigurationError`."""
    with contextlib.suppress(ConfigurationError):
        resolve_options(None, {}, {variable_names(name)[0]: text})


# -- the token


def test_the_token_is_taken_from_the_argument_or_the_variable() -> None:
    """The argument beats the variable."""
    variables = {"LITEGUARD_TOKEN": "pct-variable"}
    assert resolve_token("pct-argument", variables) == "pct-argument"
    assert resolve_token(None, variables) == "pct-variable"


@pytest.mark.parametrize("token", ["pct-1", "pcid-1", "pckid-1", "anything"])
def test_the_tokens_prefix_is_not_judged(token: str) -> None:
    """Three spellings are in use, and a fourth may come."""
    assert resolve_token(token, {}) == token


@pytest.mark.parametrize("token", ["", "  ", None])
def test_without_a_token_there_is_no_client(token: str | None) -> None:
    """An empty token is a ValueError that says where to get one."""
    with pytest.raises(ValueError, match="LITEGUARD_TOKEN") as caught:
        resolve_token(token, {})
    assert isinstance(caught.value, LiteguardError)


@pytest.mark.parametrize(
    "token", ["secret-1\n", "secret 1", "secret-\x00", "secret-é", "\tsecret-1"]
)
def test_a_token_that_no_header_can_hold_is_refused_unseen(token: str) -> None:
    """The message says what is wrong and does not repeat the token."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_token(token, {})
    assert "secret" not in str(caught.value)
    assert caught.value.field == "project_client_token"


def test_a_token_of_another_type_is_refused_unseen() -> None:
    """Bytes are no text, and are not shown."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_token(b"secret-1", {})  # type: ignore[arg-type]  # that is the mistake
    assert "secret" not in str(caught.value)


def test_options_do_not_hold_the_token() -> None:
    """What is printed or logged of the options tells no token."""
    assert "project_client_token" not in NAMES
    with pytest.raises(ConfigurationError):
        resolved(token="secret-1")  # noqa: S106  the point is that it is refused
