"""Each mistake a user can make is answered by an error or line that says what to do."""

from __future__ import annotations

import copy
import logging
import math
import pickle
import tempfile
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from clients import FAST, TOKEN, guard, offline, prepared, running
from liteguard import (
    ClientOptions,
    ConfigurationError,
    LiteguardClient,
    LiteguardError,
    NotReadyError,
)
from waiting import until

if TYPE_CHECKING:
    from backends import Backend

UNREACHABLE = "http://127.0.0.1:1"


@pytest.fixture
def client() -> LiteguardClient:
    """Return a client with one open guard."""
    return offline(guard("open.guard", defaultValue=True))


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what the package has logged at *level*."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "liteguard" and record.levelno == level
    ]


# -- the token


@pytest.mark.parametrize("token", ["", "   ", "\n"])
def test_empty_token_says_where_to_get_one(token: str) -> None:
    """A token that is empty names the variable and the place to copy it from."""
    with pytest.raises(ConfigurationError, match="set LITEGUARD_TOKEN to a Project"):
        LiteguardClient(token)


def test_missing_token_says_where_to_get_one() -> None:
    """Without argument and variable the message is the same, and a ValueError."""
    with pytest.raises(ValueError, match=r"LiteguardClient\(token\) or set LITEGUARD"):
        LiteguardClient()


@pytest.mark.parametrize("token", ["pct-secret\n", "pct-secret x", "pct-sécret"])
def test_token_that_no_header_can_carry_is_refused_without_being_shown(
    token: str,
) -> None:
    """The commonest mistake, a line break from a file, is named; the token is not."""
    with pytest.raises(ConfigurationError, match="without line breaks") as raised:
        LiteguardClient(token)
    assert "pct" not in str(raised.value)
    assert raised.value.field == "project_client_token"


def test_token_of_another_type_is_refused_without_being_shown() -> None:
    """Only its type is named."""
    token: Any = b"pct-secret"
    with pytest.raises(ConfigurationError, match="must be a str, got bytes") as raised:
        LiteguardClient(token)
    assert "pct" not in str(raised.value)


def test_token_in_place_of_the_options_is_not_shown() -> None:
    """Arguments in the wrong order are answered without repeating them."""
    swapped: Any = "pct-secret"
    with pytest.raises(ConfigurationError, match="must be a ClientOptions") as raised:
        LiteguardClient(TOKEN, swapped)
    assert "pct" not in str(raised.value)


def test_token_is_shown_nowhere(
    backend: Backend, caplog: pytest.LogCaptureFixture, state_dir: Path
) -> None:
    """No representation, log line or exception holds it, at any log level."""
    caplog.set_level(logging.DEBUG)
    shown: list[Any] = []
    for url in (backend.url, UNREACHABLE):
        client = prepared(backend, state_dir, backend_url=url)
        with client:
            client.is_open("a.guard", properties={"when": object()})
            client.flush_signals()
            scope = client.create_scope(user="u")
            shown.extend([client, scope, client.status(), client.run_with_scope(scope)])
            try:
                client.start(strict=True)
            except NotReadyError as error:
                shown.extend([error, error.__cause__, error.__context__])
        shown.append(client)
    texts = [repr(thing) + str(thing) for thing in shown]
    assert backend.token not in "\n".join([*texts, caplog.text])
    assert any("NotReady" in text for text in texts)
    files = [path for path in state_dir.rglob("*") if path.is_file()]
    assert all(backend.token.encode() not in path.read_bytes() for path in files)


# -- options


def test_unknown_option_lists_the_known_ones() -> None:
    """By keyword and in a dict."""
    for arguments in ({"refresh_rate": 5}, {"options": {"refresh_rate": 5}}):
        with pytest.raises(ConfigurationError) as raised:
            LiteguardClient(TOKEN, **arguments)
        assert "unknown option 'refresh_rate'" in str(raised.value)
        assert "refresh_rate_seconds" in str(raised.value)
        assert raised.value.field == "refresh_rate"


@pytest.mark.parametrize("options", ["production", 5, ClientOptions])
def test_options_of_another_type_are_refused(options: Any) -> None:
    """The message names both forms that are right."""
    with pytest.raises(ConfigurationError, match="a ClientOptions or a dict of its"):
        LiteguardClient(TOKEN, options)


SECONDS = (
    "refresh_rate_seconds",
    "flush_rate_seconds",
    "http_timeout_seconds",
    "reload_rate_seconds",
    "start_timeout_seconds",
)
WHOLE = ("flush_size", "flush_buffer_multiplier")
FLAGS = ("fallback", "quiet", "disable_measurement", "unadopted_open")
PATHS = ("state_dir", "ca_bundle", "bootstrap")

WRONG: list[tuple[str, Any, str]] = [
    *(
        (name, value, "a number of seconds above 0")
        for name in SECONDS
        for value in (-1, 0, "5", True, None, math.nan, math.inf)
    ),
    *(
        (name, value, "a whole number, 1 or more")
        for name in WHOLE
        for value in (-1, 0, 1.5, "5", True, None)
    ),
    *((name, value, "True or False") for name in FLAGS for value in (1, "yes", None)),
    *((name, value, "a path") for name in PATHS for value in (5, "", "nul\0")),
    *(
        ("backend_url", value, "a URL such as https://api.liteguard.io")
        for value in ("api.liteguard.io", "ftp://host", "http://", "http://[", 5)
    ),
    ("backend_url", "http://host:port", "a URL such as https://api.liteguard.io"),
    ("backend_url", "http://host\n", "a URL such as https://api.liteguard.io"),
    ("environment", "my env", "a slug of printable ASCII without spaces"),
    ("environment", None, "a slug of printable ASCII without spaces"),
    ("proxies", "http://proxy:3128", 'a dict such as {"https": "http://proxy:3128"}'),
    ("flush_size", 1_000_000, "250000 or less"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_option_out_of_range_names_field_value_and_range(
    name: str, value: Any, allowed: str
) -> None:
    """The message has all three, and the error names the field."""
    with pytest.raises(ConfigurationError) as raised:
        LiteguardClient(TOKEN, **{name: value})
    assert str(raised.value).startswith(f"{name}={value!r}: must be {allowed}")
    assert raised.value.field == name


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("LITEGUARD_REFRESH_RATE_SECONDS", "often", "is not a number"),
        ("LITEGUARD_FLUSH_SIZE", "1.5", "is not a number"),
        ("LITEGUARD_QUIET", "maybe", "is neither true nor false"),
    ],
)
def test_variable_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    """The message names the variable and its text."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as raised:
        LiteguardClient(TOKEN)
    assert str(raised.value) == f"{variable}={text!r} {message}"


@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf, "5", True])
@pytest.mark.parametrize("method", ["shutdown", "flush_signals"])
def test_bad_timeout_is_refused(
    client: LiteguardClient, method: str, timeout: Any
) -> None:
    """The message gives value and range."""
    with pytest.raises(ConfigurationError) as raised:
        getattr(client, method)(timeout)
    expected = f"timeout={timeout!r}: must be a number of seconds, 0 or more"
    assert str(raised.value) == expected


def test_very_long_waits_are_as_good_as_never(
    backend: Backend, state_dir: Path
) -> None:
    """Numbers that no clock of the system holds stop neither thread nor request."""
    backend.create_guard("open.guard", default_value=True)
    longest = dict.fromkeys(SECONDS, 10**400)
    with LiteguardClient(**backend.options(state_dir, **longest)) as client:
        assert client.is_open("open.guard")
        assert client.flush_signals(10**400)
        assert client.status().last_error is None
    assert backend.signal_summary()["distinct"] == 1


# -- checks


@pytest.mark.parametrize("name", [None, 5, b"open.guard", ["open.guard"]])
@pytest.mark.parametrize("check", ["is_open", "peek_is_open", "evaluate"])
def test_guard_name_that_is_no_text_is_refused(
    client: LiteguardClient, check: str, name: Any
) -> None:
    """The message names the type that was passed."""
    message = f"a guard's name must be a str, got {type(name).__name__}"
    for subject in (client, client.create_scope()):
        with pytest.raises(TypeError, match=message):
            getattr(subject, check)(name)
    with pytest.raises(TypeError, match=message):
        client.execute_if_open(name, lambda: 7)


PROPERTIES: list[Callable[[LiteguardClient, Any], object]] = [
    lambda client, value: client.is_open("open.guard", properties=value),
    lambda client, value: client.is_open("open.guard", {"properties": value}),
    lambda client, value: client.create_scope(value),
    lambda client, value: client.create_scope().with_properties(value),
    lambda client, value: client.with_properties(value),
]


@pytest.mark.parametrize("value", [["plan"], "plan=pro", 5])
@pytest.mark.parametrize("use", PROPERTIES)
def test_properties_that_are_no_dict_are_refused(
    client: LiteguardClient, use: Callable[[LiteguardClient, Any], object], value: Any
) -> None:
    """The message shows both forms that are right."""
    with pytest.raises(TypeError) as raised:
        use(client, value)
    kind = type(value).__name__
    expected = f'properties must be a dict, got {kind}: pass {{"plan": "pro"}} or '
    assert str(raised.value) == expected + 'plan="pro"'


def test_unknown_option_of_a_check_lists_the_known_ones(
    client: LiteguardClient,
) -> None:
    """Properties passed as the options themselves are the likely mistake."""
    with pytest.raises(TypeError) as raised:
        client.is_open("open.guard", {"plan": "pro", 5: 6})  # type: ignore[dict-item]  # the point
    assert str(raised.value) == (
        "unknown option 5 of a check; "
        "known are: properties, fallback, disable_measurement"
    )


@pytest.mark.parametrize("options", ["pro", 5, ["plan"]])
def test_options_of_a_check_of_another_type_are_refused(
    client: LiteguardClient, options: Any
) -> None:
    """The message says where properties go."""
    with pytest.raises(TypeError, match=r"an Options object or a dict, got .*proper"):
        client.is_open("open.guard", options)


@pytest.mark.parametrize("name", ["fallback", "disable_measurement"])
@pytest.mark.parametrize("value", [1, 0, "yes", []])
def test_flag_of_a_check_that_is_no_bool_is_refused(
    client: LiteguardClient, name: str, value: Any
) -> None:
    """By keyword and in the options."""
    message = f"{name} must be True or False, got "
    with pytest.raises(TypeError, match=message):
        client.is_open("open.guard", **{name: value})
    with pytest.raises(TypeError, match=message):
        client.is_open("open.guard", {name: value})


CALLS: list[Callable[[LiteguardClient, Any], object]] = [
    lambda client, fn: client.execute_if_open("open.guard", fn),
    lambda client, fn: client.with_execution(fn),
    lambda client, fn: client.run_with_scope(client.create_scope(), fn),
    lambda client, fn: client.with_properties({}, fn),
    lambda client, fn: client.create_scope().run(fn),
]


@pytest.mark.parametrize("call", CALLS)
def test_function_that_cannot_be_called_is_refused(
    client: LiteguardClient, call: Callable[[LiteguardClient, Any], object]
) -> None:
    """Passing what the function returns in place of the function is the mistake."""
    with pytest.raises(TypeError, match="fn must be callable, got int"):
        call(client, 7)


def test_listener_that_cannot_be_called_is_refused(client: LiteguardClient) -> None:
    """The message names the argument and the type."""
    listener: Any = "print"
    with pytest.raises(TypeError, match="callback must be callable, got str"):
        client.on_change(listener)


class Unprintable:
    """A value whose text raises."""

    def __repr__(self) -> str:
        """Raise."""
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "value",
    [
        datetime.now(timezone.utc),
        Decimal("1.5"),
        ["a", "list"],
        {"a": "dict"},
        {"a set"},
        b"bytes",
        object(),
        Unprintable(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_property_of_an_unsupported_type_is_logged_once_by_name(
    caplog: pytest.LogCaptureFixture, client: LiteguardClient, value: Any
) -> None:
    """One line names property and type, not the value; the check answers."""
    name = f"a {type(value).__name__}"
    for _ in range(3):
        assert client.is_open("open.guard", properties={name: value})
        assert client.create_scope({name: value}).is_open("open.guard")
    (line,) = lines(caplog, logging.WARNING)
    kind = type(value).__name__
    assert line == (
        f"liteguard: property {name!r} is of type {kind}, which no rule can match: "
        "pass a str, bool, int or float, such as str(value)"
    )


def test_property_of_an_unsupported_type_is_delivered_as_text(
    backend: Backend, state_dir: Path
) -> None:
    """It keeps no signal from being sent."""
    backend.create_guard("open.guard", default_value=True)
    with running(backend, state_dir) as client:
        odd = {"what": Unprintable(), "price": Decimal("1.5"), "plan": "pro"}
        assert client.is_open("open.guard", properties=odd)
        assert client.is_open("open.guard", properties={5: "a number"})  # type: ignore[dict-item]  # the point
    first, second = backend.signals()
    assert first["properties"] == {
        "what": "<Unprintable>",
        "price": "1.5",
        "plan": "pro",
    }
    assert second["properties"] == {"5": "a number"}


class Plan(str, Enum):
    """Text with a name, as many applications keep it."""

    PRO = "pro"


def test_supported_properties_are_not_logged(
    caplog: pytest.LogCaptureFixture, client: LiteguardClient
) -> None:
    """Text, numbers, truth values, nothing, and what derives from them are fine."""
    client.create_scope(a="text", b=1, c=1.5, d=True, e=None, f=Plan.PRO)
    assert lines(caplog, logging.WARNING) == []


@pytest.mark.parametrize("which", ["client", "scope"])
def test_sending_it_to_another_process_says_what_to_do(
    client: LiteguardClient, which: str
) -> None:
    """Pickling is what multiprocessing does with arguments where it does not fork."""
    subject = client if which == "client" else client.create_scope(user="u")
    with pytest.raises(TypeError) as raised:
        pickle.dumps(subject)
    assert str(raised.value) == (
        f"a {type(subject).__name__} cannot be sent to another process: "
        "make a LiteguardClient there, for instance when its module is imported"
    )


@pytest.mark.parametrize("which", ["client", "scope"])
def test_copy_is_the_thing_itself(client: LiteguardClient, which: str) -> None:
    """What holds one may be copied: a scope is immutable, and a client is one."""
    subject = client if which == "client" else client.create_scope(user="u")
    assert copy.copy(subject) is subject
    assert copy.deepcopy({"of": subject})["of"] is subject


# -- the world outside


def test_unreachable_backend_is_one_line_that_says_what_to_check(
    caplog: pytest.LogCaptureFixture, state_dir: Path
) -> None:
    """However often it is tried, one warning names address, cause and remedy."""
    client = LiteguardClient(
        TOKEN, backend_url=UNREACHABLE, state_dir=str(state_dir), **FAST
    )
    with client:
        until(lambda: client.status().refreshes >= 3)
        assert not client.is_open("a.guard")
        error = client.status().last_error or ""
    (line,) = lines(caplog, logging.WARNING)
    assert line.startswith("liteguard: cannot refresh the guards, answering with the f")
    for part in ("127.0.0.1:1", "refused", "check LITEGUARD_BACKEND_URL"):
        assert part in line
        assert part in error


def test_quiet_client_logs_nothing_about_an_unreachable_backend(
    caplog: pytest.LogCaptureFixture, state_dir: Path
) -> None:
    """The option silences warnings; status() knows all the same."""
    client = LiteguardClient(
        TOKEN, backend_url=UNREACHABLE, state_dir=str(state_dir), quiet=True, **FAST
    )
    with client:
        assert "refused" in (client.status().last_error or "")
    assert lines(caplog, logging.WARNING) == []


@pytest.mark.parametrize(
    ("change", "status", "remedy"),
    [
        ({"project_client_token": TOKEN}, 401, "check LITEGUARD_TOKEN"),
        ({"environment": "forbidden"}, 403, "check LITEGUARD_ENV"),
    ],
)
def test_refusal_by_the_backend_is_an_error_that_says_what_to_check(
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    state_dir: Path,
    change: dict[str, Any],
    status: int,
    remedy: str,
) -> None:
    """A wrong token or environment does not mend itself: the line is an ERROR."""
    if status == 403:
        backend.create_environment("forbidden")
    with running(backend, state_dir, **change) as client:
        assert not client.is_open("a.guard")
    (line,) = lines(caplog, logging.ERROR)
    assert f"the backend answered {status}" in line
    assert remedy in line


def test_start_that_must_succeed_says_why_it_did_not(
    backend: Backend, state_dir: Path
) -> None:
    """The error holds the backend's refusal and its remedy."""
    client = prepared(backend, state_dir, project_client_token=TOKEN)
    with pytest.raises(NotReadyError, match=r"401.*check LITEGUARD_TOKEN") as raised:
        client.start(strict=True)
    client.shutdown()
    assert isinstance(raised.value, LiteguardError)


def test_unusable_state_folder_is_a_warning_that_names_the_one_in_use(
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A state folder below a file cannot be made; the next candidate serves."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    (tmp_path / "a-file").touch()
    with running(backend, tmp_path / "a-file" / "state") as client:
        used = client.status().state_dir or ""
    (line,) = lines(caplog, logging.WARNING)
    assert Path(used).parent.parent == tmp_path
    for part in ("a-file/state", "Not a directory", used, "set LITEGUARD_STATE_DIR"):
        assert part in line


def test_no_usable_state_folder_is_a_warning_that_says_what_follows(
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Without any folder the process stands alone; the line says so and what to set."""
    (tmp_path / "a-file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a-file"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    backend.create_guard("open.guard", default_value=True)
    with running(backend, tmp_path / "a-file" / "state") as client:
        assert client.is_open("open.guard")
        assert client.status().role == "standalone"
        assert client.status().state_dir is None
    (line,) = lines(caplog, logging.WARNING)
    assert "each process asks the backend for itself" in line
    assert "set LITEGUARD_STATE_DIR to a folder of this user" in line
