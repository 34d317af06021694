"""Runs a function within a context manager, and awaits its result there as well."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Callable, TypeVar

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

T = TypeVar("T")


def run_within(manager: AbstractContextManager[Any], fn: Callable[[], T]) -> T:
    """Return what *fn* returns; if that is awaitable, it is awaited within *manager*.

    Args:
        manager: Entered once for the call, and again for the awaiting.
        fn: Takes no argument.

    Raises:
        TypeError: *fn* is not callable.
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {type(fn).__name__}")
    with manager:
        result = fn()
    if inspect.isawaitable(result):
        return _await_within(manager, result)  # type: ignore[return-value]  # T is awaitable
    return result


async def _await_within(manager: AbstractContextManager[Any], result: Any) -> Any:
    with manager:
        return await result
