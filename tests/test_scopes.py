"""What a scope holds, what derives from it, and whose checks it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import pytest

from clients import guard, offline, rule, running
from liteguard import ConfigurationError, LiteguardScope, ProtectedContext

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend
    from liteguard import LiteguardClient

PRO = guard("a.guard", rules=[rule("plan", "pro")])


@pytest.fixture
def client() -> LiteguardClient:
    """Return a client with one guard, open for one plan."""
    return offline(PRO)


FORMS: list[Callable[[Callable[..., LiteguardScope]], LiteguardScope]] = [
    lambda make: make({"user": "u", "plan": "pro"}),
    lambda make: make(user="u", plan="pro"),
    lambda make: make({"user": "u"}, plan="pro"),
    lambda make: make(properties={"user": "u", "plan": "pro"}),
    lambda make: make(properties={"user": "u"}, plan="pro"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["with_properties", "add_properties"])
def test_properties_are_given_as_dict_or_by_keyword(
    client: LiteguardClient,
    form: Callable[[Callable[..., LiteguardScope]], LiteguardScope],
    method: str,
) -> None:
    """The guide's and the published package's forms make the same scope."""
    expected = {"user": "u", "plan": "pro"}
    assert form(client.create_scope).get_properties() == expected
    derive = getattr(client.create_scope(), method)
    assert form(derive).get_properties() == expected


def test_any_name_can_be_a_property(client: LiteguardClient) -> None:
    """Names that are parameters elsewhere are no special case as keywords."""
    scope = client.create_scope(self="s", name="n", options="o", properties="p")
    expected = {"self": "s", "name": "n", "options": "o", "properties": "p"}
    assert scope.get_properties() == expected


def test_derived_scope_overlays_and_leaves_the_original(
    client: LiteguardClient,
) -> None:
    """Deriving gives another scope: new values win, the first scope stays."""
    scope = client.create_scope(user="u", plan="free")
    derived = scope.with_properties(plan="pro")
    assert derived.get_properties() == {"user": "u", "plan": "pro"}
    assert scope.get_properties() == {"user": "u", "plan": "free"}
    assert derived.is_open("a.guard")
    assert not scope.is_open("a.guard")


def test_properties_can_be_cleared_by_name(client: LiteguardClient) -> None:
    """Clearing leaves out the named properties, and ignores unknown names."""
    scope = client.create_scope(user="u", plan="pro", team="t")
    cleared = scope.clear_properties(["plan", "team", "unknown"])
    assert cleared.get_properties() == {"user": "u"}
    assert scope.get_properties() == {"user": "u", "plan": "pro", "team": "t"}


def test_properties_can_be_reset(client: LiteguardClient) -> None:
    """Resetting leaves out all properties."""
    scope = client.create_scope(user="u")
    assert scope.reset_properties().get_properties() == {}
    assert scope.get_properties() == {"user": "u"}


def test_clearing_a_bare_name_says_what_to_pass(client: LiteguardClient) -> None:
    """A str is a sequence of letters, which nobody means."""
    with pytest.raises(TypeError, match=r"names must be a list of names: \['plan'\]"):
        client.create_scope(plan="pro").clear_properties("plan")


def test_scope_does_not_follow_the_dict_it_was_made_of(
    client: LiteguardClient,
) -> None:
    """A scope copies what it is given."""
    given = {"plan": "free"}
    scope = client.create_scope(given)
    given["plan"] = "pro"
    assert scope.get_properties() == {"plan": "free"}
    assert not scope.is_open("a.guard")


def test_returned_properties_are_a_copy(client: LiteguardClient) -> None:
    """Editing what a scope returned changes nothing in the scope."""
    scope = client.create_scope(plan="free")
    scope.get_properties()["plan"] = "pro"
    assert scope.get_properties() == {"plan": "free"}
    assert not scope.is_open("a.guard")


def test_scope_cannot_be_edited(client: LiteguardClient) -> None:
    """Neither its attributes nor the view of its properties take a value."""
    scope = client.create_scope(plan="free")
    view: Any = scope.properties
    with pytest.raises(TypeError):
        view["plan"] = "pro"
    with pytest.raises(AttributeError):
        scope.properties = {}  # type: ignore[misc]  # that is the point
    with pytest.raises(AttributeError):
        scope.plan = "pro"  # type: ignore[attr-defined]  # that is the point
    assert scope.get_properties() == {"plan": "free"}


def test_representation_names_properties_without_values(
    client: LiteguardClient,
) -> None:
    """Values may be personal: they stay out of logs."""
    shown = repr(client.create_scope(email="u@example.org"))
    assert shown == "<LiteguardScope of email>"
    assert repr(client.create_scope()) == "<LiteguardScope of no properties>"


def test_properties_of_a_check_lie_over_those_of_the_scope(
    client: LiteguardClient,
) -> None:
    """They count for that check alone."""
    scope = client.create_scope(plan="free")
    assert scope.is_open("a.guard", properties={"plan": "pro"})
    assert scope.evaluate("a.guard", properties={"team": "t"}).properties == {
        "plan": "free",
        "team": "t",
    }
    assert not scope.is_open("a.guard")


def test_scope_answers_without_being_bound(client: LiteguardClient) -> None:
    """Each kind of check of a scope uses its properties."""
    scope = client.create_scope(plan="pro")
    assert scope.is_open("a.guard")
    assert scope.peek_is_open("a.guard")
    assert scope.evaluate("a.guard").is_open
    assert scope.execute_if_open("a.guard", lambda: 7) == 7
    assert not client.is_open("a.guard")


def test_client_without_bound_scope_has_one_without_properties(
    client: LiteguardClient,
) -> None:
    """There is always an active scope."""
    scope = client.get_active_scope()
    assert isinstance(scope, LiteguardScope)
    assert scope.get_properties() == {}
    assert scope.get_protected_context() is None


def test_scope_of_another_client_is_refused(client: LiteguardClient) -> None:
    """Binding a scope that another client made says how to make the right one."""
    foreign = offline().create_scope(plan="pro")
    with pytest.raises(ConfigurationError, match=r"create_scope\(\) of the client"):
        client.run_with_scope(foreign)


@pytest.mark.parametrize("value", [None, {"plan": "pro"}, "pro"])
def test_anything_but_a_scope_is_refused(client: LiteguardClient, value: Any) -> None:
    """A dict in place of a scope is answered with the way to make one."""
    with pytest.raises(ConfigurationError, match=r"client\.create_scope\(\), got"):
        client.run_with_scope(value)


# -- protected contexts

CONTEXT = ProtectedContext("signature", {"account": "a-1"}, 1, 2)


def test_protected_context_is_bound_and_cleared(
    backend: Backend, state_dir: Path
) -> None:
    """A scope with a context uses the bundle that the backend gives for it."""
    backend.create_guard("a.guard", rules=(rule("plan", "pro"),))
    with running(backend, state_dir) as client:
        public = client.create_scope(plan="pro")
        scope = public.bind_protected_context(CONTEXT)
        assert scope.get_protected_context() == CONTEXT
        assert scope.get_properties() == {"plan": "pro"}
        assert scope.is_open("a.guard")
        assert public.get_protected_context() is None
        assert scope.clear_protected_context().get_protected_context() is None
        kept = scope.with_properties(team="t").reset_properties()
        assert kept.protected_context == CONTEXT


def test_protected_context_binds_for_a_block_and_a_function(
    backend: Backend, state_dir: Path
) -> None:
    """The client binds a context in both forms, over the active properties."""
    with running(backend, state_dir) as client:
        scope = client.create_scope(plan="pro")
        with client.run_with_scope(scope):
            with client.with_protected_context(CONTEXT) as bound:
                assert client.get_active_scope() is bound
                assert bound.get_properties() == {"plan": "pro"}
                assert bound.get_protected_context() == CONTEXT
            assert client.get_active_scope() is scope
        inside = client.with_protected_context(
            CONTEXT, lambda: client.get_active_scope().get_protected_context()
        )
        assert inside == CONTEXT


def test_protected_context_that_cannot_be_bound_answers_the_fallback(
    caplog: pytest.LogCaptureFixture, state_dir: Path
) -> None:
    """Without a bundle of its own a context never gets the public bundle's answers."""
    client = offline(
        guard("a.guard", defaultValue=True),
        backend_url="http://127.0.0.1:1",
        state_dir=str(state_dir),
    )
    with client:
        assert client.is_open("a.guard")
        scope = client.create_scope().bind_protected_context(CONTEXT)
        assert not scope.is_open("a.guard")
        assert scope.is_open("a.guard", fallback=True)
        assert scope.clear_protected_context().is_open("a.guard")
    assert "no bundle for a protected context" in caplog.text
    assert CONTEXT.signature not in caplog.text


def test_protected_context_keeps_out_of_representations() -> None:
    """Neither signature nor properties are shown."""
    shown = repr(ProtectedContext("the-signature", {"email": "u@example.org"}))
    assert "the-signature" not in shown
    assert "example" not in shown


@pytest.mark.parametrize("value", [None, "signature", {"signature": "s"}])
def test_anything_but_a_protected_context_is_refused(
    client: LiteguardClient, value: Any
) -> None:
    """The message names the class to use."""
    with pytest.raises(TypeError, match=r"must be a liteguard\.ProtectedContext"):
        client.with_protected_context(value)
