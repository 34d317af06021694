"""The names that users import and call: all there, and no others."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import get_origin

import pytest

import liteguard

CLIENT = {
    "create_scope",
    "evaluate",
    "execute_if_open",
    "execution",
    "flush_signals",
    "get_active_scope",
    "is_open",
    "on_change",
    "peek_is_open",
    "run_with_scope",
    "shutdown",
    "start",
    "start_execution",
    "status",
    "wait_until_ready",
    "with_execution",
    "with_properties",
    "with_protected_context",
}
SCOPE = {
    "add_properties",
    "bind_protected_context",
    "bind_protected_context_async",
    "clear_properties",
    "clear_protected_context",
    "evaluate",
    "execute_if_open",
    "get_properties",
    "get_protected_context",
    "is_open",
    "peek_is_open",
    "properties",
    "protected_context",
    "reset_properties",
    "run",
    "start_execution",
    "with_properties",
}


def public_names(of: object) -> set[str]:
    """Return the names of *of*, inherited ones too, that have no leading underscore."""
    return {name for name in dir(of) if not name.startswith("_")}


def test_facade_exports_what_it_imports() -> None:
    """Nothing is imported into the facade without being exported by it."""
    imported = {
        name
        for name in public_names(liteguard)
        if not isinstance(getattr(liteguard, name), ModuleType)
    }
    assert imported - {"annotations"} == set(liteguard.__all__) - {"__version__"}


def test_facade_lists_its_names_in_order() -> None:
    """The list of public names is sorted and free of repetitions."""
    assert sorted(set(liteguard.__all__)) == liteguard.__all__


def test_client_has_the_promised_methods() -> None:
    """The client's methods are those of the guide and the documentation."""
    assert public_names(liteguard.LiteguardClient) == CLIENT


def test_scope_has_the_promised_methods() -> None:
    """The scope's methods are those of the guide and the documentation."""
    assert public_names(liteguard.LiteguardScope) >= SCOPE


@pytest.mark.parametrize("name", liteguard.__all__)
def test_public_classes_are_described(name: str) -> None:
    """Each exported class has a docstring of its own."""
    exported = getattr(liteguard, name)
    # Up to Python 3.10 an alias such as Mapping[str, Any] passes for a class.
    if inspect.isclass(exported) and get_origin(exported) is None:
        assert exported.__doc__ not in {None, exported.__mro__[1].__doc__}


@pytest.mark.parametrize("method", ["is_open", "peek_is_open", "evaluate"])
def test_scope_and_client_check_alike(method: str) -> None:
    """A check takes the same arguments on a scope as on the client."""
    of_client = inspect.signature(getattr(liteguard.LiteguardClient, method))
    of_scope = inspect.signature(getattr(liteguard.LiteguardScope, method))
    assert of_client == of_scope
