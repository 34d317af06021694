"""News: which part of the database has changed, for pages that show it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

Topic = Literal["environments", "guards", "observations", "polls", "signals", "tokens"]
"""What a write changes; a page reads anew what it shows of it."""

GATHERING_SECONDS = 0.25
"""How long news are gathered after each delivery, so that a busy server tells few."""


class News:
    """Passes news from writers, in any thread, to readers in the server's loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _readers
        self._readers: set[_Reader] = set()

    def tell(self, topics: Iterable[Topic]) -> None:
        """Tell every reader. Never waits; safe in any thread."""
        topics = frozenset(topics)
        with self._lock:
            readers = list(self._readers) if topics else []
        for reader in readers:
            reader.hear(topics)

    def close(self) -> None:
        """End every reader's iteration."""
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader.finish()

    async def follow(self, pause_seconds: float) -> AsyncIterator[set[Topic]]:
        """Yield the topics that are new since the last time, until `close`.

        An empty set comes first: what is read after it misses nothing.

        Args:
            pause_seconds: After how long without news to yield an empty set.
        """
        reader = _Reader(asyncio.get_running_loop())
        with self._lock:
            self._readers.add(reader)
        try:
            yield set()
            while not reader.is_finished:
                yield await reader.next(pause_seconds)
                await reader.gather()
        finally:
            with self._lock:
                self._readers.discard(reader)


class _Reader:
    """One follower; its topics are touched in its own loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heard = asyncio.Event()
        self._finished = asyncio.Event()
        self._topics: set[Topic] = set()

    @property
    def is_finished(self) -> bool:
        return self._finished.is_set()

    def hear(self, topics: frozenset[Topic]) -> None:
        self._call(lambda: self._take(topics))

    def finish(self) -> None:
        self._call(self._end)

    async def next(self, seconds: float) -> set[Topic]:
        await _wait(self._heard, seconds)
        self._heard.clear()
        topics, self._topics = self._topics, set()
        return topics

    async def gather(self) -> None:
        await _wait(self._finished, GATHERING_SECONDS)

    def _take(self, topics: frozenset[Topic]) -> None:
        self._topics |= topics
        self._heard.set()

    def _end(self) -> None:
        self._finished.set()
        self._heard.set()

    def _call(self, action: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(action)
        except RuntimeError:  # the loop is closed: nobody is listening
            return


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return
