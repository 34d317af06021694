"""Scopes that Celery tasks take over from their callers."""

from __future__ import annotations

import enum
import json
import logging
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, chain, group
from celery.contrib.testing.worker import start_worker
from celery.signals import setup_logging

from clients import offline
from liteguard import ProtectedContext
from liteguard.integrations.celery import (
    HEADER,
    MAX_HEADER_BYTES,
    ScopeCarrier,
    carry_scopes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT: dict[str, Any] = {"timeout": 20, "interval": 0.01}
app = Celery("scopes", broker="memory://", backend="cache+memory://")
app.conf.broker_transport_options = {"polling_interval": 0.01}
older = Celery("scopes", broker="memory://", backend="cache+memory://")
older.conf.task_protocol = 1
eager = Celery("eager")
eager.conf.task_always_eager = True
LOGGER = "liteguard"
client = offline()
another = offline()


class Plan(str, enum.Enum):
    """A text that writes itself in another way."""

    PRO = "pro"


class Unspeakable:
    """A value whose own code raises."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError


@app.task(bind=True)
def look(task: Any, *_: object) -> dict[str, Any]:
    """Return what the task sees, and the header that it came with."""
    return {
        "properties": client.get_active_scope().get_properties(),
        "of another": another.get_active_scope().get_properties(),
        "header": (task.request.headers or {}).get(HEADER),
    }


@eager.task
def look_eagerly() -> dict[str, Any]:
    """Return the properties that the task sees."""
    return client.get_active_scope().get_properties()


@app.task
def fail() -> None:
    """Fail."""
    raise ValueError("as it should")


@app.task(bind=True)
def try_again(task: Any) -> dict[str, Any]:
    """Fail once, within another scope, and then return the properties."""
    if task.request.retries == 0:
        with client.with_properties({"user": "of the first try"}):
            raise task.retry(countdown=0)
    return client.get_active_scope().get_properties()


@app.task
def call_others() -> list[dict[str, Any]]:
    """Return what a task called here sees, and one called in a further scope."""
    plain = look.apply().get()
    with client.with_properties({"step": 2}):
        further = look.apply().get()
    return [plain["properties"], further["properties"]]


@app.task
def call_later() -> str:
    """Call a task through the broker and return its id."""
    return str(look.delay().id)


@pytest.fixture(scope="module", autouse=True)
def _worker() -> Iterator[None]:
    """Run the tasks in a thread, whose context is not the caller's."""
    # Celery leaves logging alone where somebody says that he sets it up.
    setup_logging.connect(_leave_logging_alone)
    with start_worker(app, pool="solo", perform_ping_check=False):
        yield
    setup_logging.disconnect(_leave_logging_alone)


def _leave_logging_alone(**_: Any) -> None:
    """Keep pytest's own handlers."""


@pytest.fixture(autouse=True)
def carrier() -> Iterator[ScopeCarrier]:
    """Carry the scopes of one client."""
    carrier = carry_scopes(client)
    yield carrier
    carrier.stop()


def seen(**options: Any) -> dict[str, Any]:
    """Call the task and return what it saw."""
    found: dict[str, Any] = look.apply_async(**options).get(**WAIT)
    return found


def carried(properties: dict[str, Any], **options: Any) -> Any:
    """Return what a task sees that is called in a scope of *properties*."""
    with client.with_properties(properties):
        return seen(**options)["properties"]


@pytest.mark.parametrize("value", ["text", "Ä\ud800", 7, 2**70, -0.5, True, None])
def test_task_sees_its_callers_properties(value: Any) -> None:
    """What a rule can compare arrives as it was, with its type."""
    found = carried({"value": value})["value"]
    assert (type(found), found) == (type(value), value)


def test_other_values_arrive_as_their_text() -> None:
    """What JSON does not hold is there as its text, as in signals."""
    number = uuid.UUID(int=5)
    given = {"id": number, "plan": Plan.PRO, "tags": ["a"], "odd": Unspeakable()}
    wanted = {"id": str(number), "plan": "pro", "tags": "['a']", "odd": None}
    assert carried(given) == wanted


def test_next_task_starts_without_a_scope() -> None:
    """A scope ends with its task, also if that fails."""
    with client.with_properties({"user": 7}):
        failed = fail.delay()
    with pytest.raises(ValueError, match="as it should"):
        failed.get(**WAIT)
    assert seen()["properties"] == {}


def test_task_without_a_scope_carries_no_header() -> None:
    """A caller without properties sends the message as it would be without this."""
    assert seen()["header"] is None


def test_retry_has_the_scope_of_the_first_call() -> None:
    """What the failed try bound is not carried into the next one."""
    with client.with_properties({"user": 7}):
        result = try_again.delay()
    assert result.get(**WAIT) == {"user": 7}


def test_chain_and_group_carry_the_scope() -> None:
    """Each task of a canvas has it, those too that a worker sends."""
    canvas = chain(look.si(), look.si(), group(look.si(), look.si()))
    with client.with_properties({"user": 7}):
        result = canvas.delay()
    outcomes = [*result.get(**WAIT), result.parent.get(**WAIT)]
    assert [told["properties"] for told in outcomes] == [{"user": 7}] * 3


def test_task_called_by_a_task_shares_the_scope() -> None:
    """Called at once it sees the scope in force; called later it is carried on."""
    with client.with_properties({"user": 7}):
        direct, later = call_others.delay(), call_later.delay()
    assert direct.get(**WAIT) == [{"user": 7}, {"user": 7, "step": 2}]
    result = look.AsyncResult(later.get(**WAIT))
    assert result.get(**WAIT)["properties"] == {"user": 7}


def test_eager_task_sees_the_scope_in_force() -> None:
    """With task_always_eager there is no message, and the scope is there anyway."""
    with client.with_properties({"user": 7}):
        assert look_eagerly.delay().get() == {"user": 7}
        assert client.get_active_scope().get_properties() == {"user": 7}


def test_older_protocol_carries_the_scope() -> None:
    """Messages of version 1 have the header too."""
    with client.with_properties({"user": 7}):
        sent = older.send_task(look.name)
    found = look.AsyncResult(sent.id).get(**WAIT)
    assert found["properties"] == {"user": 7}


def test_protected_context_is_not_carried() -> None:
    """Neither its signature nor its properties are in the message."""
    context = ProtectedContext("secret-signature", {"account": "secret-account"})
    scope = client.create_scope(user=7).bind_protected_context(context)
    with client.run_with_scope(scope):
        told = seen()
    assert json.loads(told["header"]) == {"user": 7}


def test_chosen_properties_alone_are_carried(carrier: ScopeCarrier) -> None:
    """The others do not enter the broker."""
    carrier.stop()
    chosen = carry_scopes(client, only=["plan"])
    with client.with_properties({"user": 7, "plan": "pro"}):
        told = seen()
    chosen.stop()
    assert told["header"] == '{"plan": "pro"}'
    assert told["properties"] == {"plan": "pro"}


def test_one_name_is_no_list_of_names() -> None:
    """A text given for a list of names is refused."""
    with pytest.raises(TypeError, match=r"\['plan'\]"):
        carry_scopes(client, only="plan")


def test_two_clients_carry_their_own() -> None:
    """Each has its header, and none sees the other's properties."""
    second = carry_scopes(another, header="another_scope")
    with client.with_properties({"a": 1}), another.with_properties({"b": 2}):
        told = seen()
    second.stop()
    assert told["properties"] == {"a": 1}
    assert told["of another"] == {"b": 2}


def test_caller_may_leave_the_scope_out() -> None:
    """A header given with the call is left as it is."""
    assert carried({"user": 7}, headers={HEADER: None}) == {}


@pytest.mark.parametrize(
    "value", ["x" * MAX_HEADER_BYTES, 10**9000], ids=["text", "number"]
)
def test_scope_that_is_too_large_is_not_carried(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """No half of it is carried either, and one line says so."""
    properties = {"user": 7, "text": value}
    with caplog.at_level(logging.WARNING, logger=LOGGER):
        assert [carried(properties), carried(properties)] == [{}, {}]
    (record,) = (each for each in caplog.records if each.name == LOGGER)
    assert "8192 bytes" in record.getMessage()


@pytest.mark.parametrize(
    "header",
    ["no JSON", "[1]", 5, {"user": 1}, "[" * 5000, '{"n": "' + "x" * 9000 + '"}'],
    ids=["no JSON", "no object", "number", "object", "deep", "long"],
)
def test_bad_header_breaks_no_task(
    header: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What somebody else has written there is ignored, and logged once."""
    with caplog.at_level(logging.WARNING, logger=LOGGER):
        found = [seen(headers={HEADER: header})["properties"] for _ in range(2)]
    assert found == [{}, {}]
    (record,) = (each for each in caplog.records if each.name == LOGGER)
    assert "without its caller's scope" in record.getMessage()


def test_foreign_values_in_a_header_become_plain() -> None:
    """A header that holds what no caller writes gives texts, not nested values."""
    told = seen(headers={HEADER: '{"user": {"id": 1}, "n": 1}'})
    assert told["properties"] == {"user": "{'id': 1}", "n": 1}


def test_nothing_is_carried_after_the_end(carrier: ScopeCarrier) -> None:
    """Once stopped, messages are left alone."""
    carrier.stop()
    carrier.stop()
    assert carried({"user": 7}) == {}
