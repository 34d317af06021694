"""Sliding windows of a minute, one per key, in memory that processes may share.

A window is a ring of words, each of them a time and how many open answers count until
then. A change becomes valid by the write of one word, so that a process that dies
leaves nothing torn.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from liteguard.host.stripes import LOCK_WORDS, Locks, Stripes, memory_size

if TYPE_CHECKING:
    import mmap

WINDOW_MS = 60_000
DIGEST_BYTES = 16
_COUNT_BITS = 24
_MOST_IN_WORD = (1 << _COUNT_BITS) - 1
# A window's state: how many answers count, where its ring begins, how long it is.
_TOTAL_SHIFT = 24
_FIRST_SHIFT = 12
_MASK = (1 << _FIRST_SHIFT) - 1
_LARGEST_TOTAL = (1 << (64 - _TOTAL_SHIFT)) - 1
_MOST_TRIES = 3
# Shared by the processes of a host, and goes on while the machine is suspended.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


class Shape(NamedTuple):
    """How large a table is.

    Args:
        stripes: A power of two, at most 512.
        windows: How many keys each stripe has room for.
        ring: How many times a window keeps, at most 4,095. A limit up to this is
            counted exactly; above it answers share times, that many in a minute.
    """

    stripes: int
    windows: int
    ring: int

    @property
    def region_words(self) -> int:
        """The size of a stripe: lock, digests, last times, states and rings."""
        return LOCK_WORDS + self.windows * (4 + self.ring)

    @property
    def size(self) -> int:
        """The size of the memory in bytes."""
        return memory_size(self.stripes, self.region_words)


class Count(NamedTuple):
    """What a window says of one more open answer.

    Args:
        fits: Whether it is within the limit.
        number: How many there are with it; ``None`` if the window could not be looked
            at, because its lock was not to be had or there was no room for it.
    """

    fits: bool
    number: Optional[int]


Place = tuple[int, int, int]
"""In which words a window's last time and its state lie, and its ring begins."""

_UNKNOWN = Count(fits=False, number=None)


class WindowTable:
    """Counts open answers per key. Thread-safe, and fork-safe if its locks are.

    Args:
        memory: As large as *shape* says; zeros are an empty table.
        shape: How it is laid out.
        locks: As many as `lock_count` says for its stripes.
        clock: Nanoseconds; must not run backwards between any two processes.
    """

    def __init__(
        self, memory: mmap.mmap, shape: Shape, locks: Locks, clock: Callable[[], int]
    ) -> None:
        self._memory = memory
        self._words = memoryview(memory).cast("Q")
        self._shape = shape
        self._clock = clock
        self._digests_bytes = DIGEST_BYTES * shape.windows
        self._ends_word = LOCK_WORDS + self._digests_bytes // 8
        self._grid_ms = -(-WINDOW_MS // (shape.ring - 2))
        self._stripes = Stripes(
            memory,
            self._words,
            count=shape.stripes,
            region_words=shape.region_words,
            locks=locks,
            mend=self._mend,
        )

    def take(self, digest: bytes, limit: int, *, consumes: bool) -> Count:
        """Say whether another open answer fits, and count it if it *consumes*.

        Waits 50 ms for a process that was stopped in the middle of this.

        Args:
            digest: The key's, 16 random bytes.
            limit: Most open answers in any 60 seconds.
            consumes: ``False`` to look without counting.

        Raises:
            OSError: The memory holds something else by now.
        """
        stripe = (digest[0] | digest[1] << 8) & (self._shape.stripes - 1)
        for _ in range(_MOST_TRIES):
            region = self._stripes.hold(stripe)
            if region is None:
                return _UNKNOWN
            try:
                count = self._take(region, digest, limit, consumes=consumes)
                # If others had to go on without us, they know nothing of our answer.
                if self._stripes.is_at(stripe, region):
                    return count
            finally:
                self._stripes.release(region)
        return _UNKNOWN

    def _take(self, region: int, digest: bytes, limit: int, *, consumes: bool) -> Count:
        # Read now and not before: so the times in a window never run backwards.
        now_ns = self._clock()
        now_ms = now_ns // 1_000_000
        place = self._find(region, digest)
        if place is None:
            if not consumes:
                return Count(True, 1)  # noqa: FBT003  a tuple's first place
            place = self._claim(region, digest, now_ms)
            if place is None:
                return _UNKNOWN
        state = self._expire(place, now_ms)
        total = state >> _TOTAL_SHIFT
        fits = total < limit and total < _LARGEST_TOTAL
        if fits and consumes:
            self._count(place, state, self._end(now_ns, limit))
        return Count(fits, total + 1)

    def _end(self, now_ns: int, limit: int) -> int:
        """Return until when an answer of now counts: a minute, and never less."""
        end = -(-now_ns // 1_000_000) + WINDOW_MS
        if limit > self._shape.ring:
            end = -(-end // self._grid_ms) * self._grid_ms
        return end

    def _find(self, region: int, digest: bytes) -> Optional[Place]:
        start = 8 * (self._stripes.start_of(region) + LOCK_WORDS)
        at = self._memory.find(digest, start, start + self._digests_bytes)
        return None if at < 0 else self._place(region, (at - start) // DIGEST_BYTES)

    def _claim(self, region: int, digest: bytes, now_ms: int) -> Optional[Place]:
        """Give *digest* a window that nobody has used for a minute, if there is one."""
        first = self._stripes.start_of(region) + LOCK_WORDS
        ends_at = first + self._digests_bytes // 8
        ends = self._words[ends_at : ends_at + self._shape.windows].tolist()
        for window, end in enumerate(ends):
            if end <= now_ms:
                place = self._place(region, window)
                self._words[place[1]] = 0
                at = 8 * first + DIGEST_BYTES * window
                self._memory[at : at + DIGEST_BYTES] = digest
                return place
        return None

    def _place(self, region: int, window: int) -> Place:
        windows = self._shape.windows
        end_at = self._stripes.start_of(region) + self._ends_word + window
        ring_at = end_at - window + 2 * windows + window * self._shape.ring
        return end_at, end_at + windows, ring_at

    def _expire(self, place: Place, now_ms: int) -> int:
        """Let go of what no longer counts, and return the state that is left."""
        words, ring = self._words, self._shape.ring
        _, state_at, ring_at = place
        state = before = words[state_at]
        while state & _MASK:
            first = (state >> _FIRST_SHIFT) & _MASK
            word = words[ring_at + first]
            if word >> _COUNT_BITS > now_ms:
                break
            total = max(0, (state >> _TOTAL_SHIFT) - (word & _MOST_IN_WORD))
            state = _state(total, (first + 1) % ring, (state & _MASK) - 1)
        if not state & _MASK:
            state = 0
        if state != before:
            words[state_at] = state
        return state

    def _count(self, place: Place, state: int, end: int) -> None:
        words, ring = self._words, self._shape.ring
        end_at, state_at, ring_at = place
        total, first = state >> _TOTAL_SHIFT, (state >> _FIRST_SHIFT) & _MASK
        length = state & _MASK
        newest_at = ring_at + (first + length - 1) % ring
        newest = words[newest_at] if length else 0
        if length == ring or (newest >> _COUNT_BITS >= end):
            # The total first: who dies in between has counted too much, not too little.
            words[state_at] = _state(total + 1, first, length)
            counted = min((newest & _MOST_IN_WORD) + 1, _MOST_IN_WORD)
            end = max(end, newest >> _COUNT_BITS)
            words[newest_at] = end << _COUNT_BITS | counted
            words[end_at] = end
            return
        words[ring_at + (first + length) % ring] = end << _COUNT_BITS | 1
        words[end_at] = end
        words[state_at] = _state(total + 1, first, length + 1)

    def _mend(self, region: int) -> None:
        """Count again what the rings of a region hold."""
        ring = self._shape.ring
        for window in range(self._shape.windows):
            _, state_at, ring_at = self._place(region, window)
            state = self._words[state_at]
            first, length = (state >> _FIRST_SHIFT) & _MASK, state & _MASK
            words = [self._words[ring_at + (first + i) % ring] for i in range(length)]
            total = sum(word & _MOST_IN_WORD for word in words)
            self._words[state_at] = _state(total, first, length)


def _state(total: int, first: int, length: int) -> int:
    return total << _TOTAL_SHIFT | first << _FIRST_SHIFT | length


def host_clock() -> int:
    """Return nanoseconds that all processes of the host agree on."""
    if _CLOCK is None:  # Windows
        return time.monotonic_ns()
    return time.clock_gettime_ns(_CLOCK)
