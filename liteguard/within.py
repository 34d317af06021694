"""Runs functions: within a context manager, or beside an event loop."""

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


async def run_in_thread(fn: Callable[[], T]) -> T:
    """Run *fn*, which blocks, in another thread, and let the event loop go on."""
    import asyncio  # noqa: PLC0415  who never awaits this need not load it

    return await asyncio.get_running_loop().run_in_executor(None, fn)


async def _await_within(manager: AbstractContextManager[Any], result: Any) -> Any:
    with manager:
        return await result
