"""Sliding windows of a minute, one per key, in memory that processes may share.

The windows of a stripe write their open answers into one log: whose each is, and until
when it counts. A log has room for thousands of them, whichever windows they are of, so
that each limit is exact. The log alone is the truth: what a process that died in the
middle of a change has left of the totals is counted again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from liteguard.host.stripes import LOCK_WORDS, Locks, Stripes, memory_size

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

WINDOW_MS = 60_000
DIGEST_BYTES = 16
_MOST_TRIES = 3
# An entry of the log: when it ends, in milliseconds, its window, and how many it is.
_END_SHIFT = 24
_COUNT_BITS = 14
_MOST_IN_ENTRY = (1 << _COUNT_BITS) - 1
_WINDOW_AND_COUNT = (1 << _END_SHIFT) - 1
# The state of a log: where it begins, and how many entries it has.
_FIRST_SHIFT = 32


class Shape(NamedTuple):
    """How large a table is.

    Args:
        stripes: A power of two, at most 512.
        windows: How many keys each stripe has room for, at most 1,024.
        exact: How many open answers of a minute a stripe counts exactly.
        shared: How many more there is room for of each window, whose times are
            rounded up so that no more are needed.
    """

    stripes: int
    windows: int
    exact: int
    shared: int

    @property
    def log(self) -> int:
        """How many entries the log of a stripe has room for."""
        return self.exact + self.windows * self.shared

    @property
    def region_words(self) -> int:
        """The size of a stripe: lock, state, digests, three words a window, log."""
        return LOCK_WORDS + 1 + 5 * self.windows + self.log

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
        self._log_size = shape.log
        self._grid_ms = -(-WINDOW_MS // (shape.shared - 2))
        self._digests_bytes = DIGEST_BYTES * shape.windows
        # Where they begin, counted from the state: until when each window is in use,
        # how many answers count in it, where its last entry is, and the log.
        self._ends = 1 + 2 * shape.windows
        self._totals = self._ends + shape.windows
        self._newest = self._totals + shape.windows
        self._log = self._newest + shape.windows
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
                is_known = self._stripes.is_at(stripe, region)
                self._stripes.release(region, is_whole=True)
            except BaseException:
                # A signal handler may have raised just before the release, too.
                self._stripes.release(region, is_whole=False)
                raise
            if is_known:
                return count
        return _UNKNOWN

    def _take(self, region: int, digest: bytes, limit: int, *, consumes: bool) -> Count:
        # Read now and not before: so the times in a log never run backwards.
        now_ns = self._clock()
        now_ms = now_ns // 1_000_000
        state_at = self._state_of(region)
        self._expire(state_at, now_ms)
        window = self._find(state_at, digest)
        if window is None:
            if not consumes:
                return Count(True, 1)  # noqa: FBT003  a tuple's first place
            window = self._claim(state_at, digest, now_ms)
            if window is None:
                return _UNKNOWN
        total = self._words[state_at + self._totals + window]
        fits = total < limit
        if fits and consumes:
            self._count(state_at, window, WINDOW_MS - (-now_ns // 1_000_000))
        return Count(fits, total + 1)

    def _state_of(self, region: int) -> int:
        return self._stripes.start_of(region) + LOCK_WORDS

    def _find(self, state_at: int, digest: bytes) -> Optional[int]:
        start = 8 * (state_at + 1)
        at = self._memory.find(digest, start, start + self._digests_bytes)
        return None if at < 0 else (at - start) // DIGEST_BYTES

    def _claim(self, state_at: int, digest: bytes, now_ms: int) -> Optional[int]:
        """Give *digest* a window that nobody has used for a minute, if there is one."""
        ends_at = state_at + self._ends
        ends = self._words[ends_at : ends_at + self._shape.windows].tolist()
        for window, end in enumerate(ends):
            if end <= now_ms:
                at = 8 * (state_at + 1) + DIGEST_BYTES * window
                self._memory[at : at + DIGEST_BYTES] = digest
                return window
        return None

    def _count(self, state_at: int, window: int, end: int) -> None:
        """Count an answer that ends at *end*, in milliseconds, or a little later."""
        words, size, log_at = self._words, self._log_size, state_at + self._log
        first, length = divmod(words[state_at], 1 << _FIRST_SHIFT)
        if length >= self._shape.exact:
            if length >= size:
                raise OSError("a log is fuller than it can be")
            end = -(-end // self._grid_ms) * self._grid_ms
        if length:
            # Not earlier than the last one's, which may have been rounded up.
            end = max(end, words[log_at + (first + length - 1) % size] >> _END_SHIFT)
        words[state_at + self._ends + window] = end
        words[state_at + self._totals + window] += 1
        entry = end << _END_SHIFT | window << _COUNT_BITS
        newest_at = log_at + words[state_at + self._newest + window]
        counted = words[newest_at] - entry
        if 0 < counted < _MOST_IN_ENTRY:
            words[newest_at] += 1
            return
        at = (first + length) % size
        words[log_at + at] = entry | 1
        words[state_at] += 1
        words[state_at + self._newest + window] = at

    def _expire(self, state_at: int, now_ms: int) -> None:
        """Let go of what no longer counts."""
        words = self._words
        first, length = divmod(words[state_at], 1 << _FIRST_SHIFT)
        log_at = state_at + self._log
        if not length or words[log_at + first] >> _END_SHIFT > now_ms:
            return
        gone = self._expired(log_at, first, length, now_ms)
        rest = (first + gone) % self._log_size << _FIRST_SHIFT | length - gone
        words[state_at] = rest
        totals_at = state_at + self._totals
        for window, count in self._tally(log_at, first, gone):
            words[totals_at + window] -= count

    def _expired(self, log_at: int, first: int, length: int, now_ms: int) -> int:
        """Return how many entries have ended, of a log whose first one has."""
        words, size = self._words, self._log_size
        ended, running = 1, 2
        while running < length:
            if words[log_at + (first + running) % size] >> _END_SHIFT > now_ms:
                break
            ended, running = running + 1, 2 * running
        running = min(running, length)
        while ended < running:
            middle = (ended + running) // 2
            if words[log_at + (first + middle) % size] >> _END_SHIFT > now_ms:
                running = middle
            else:
                ended = middle + 1
        return ended

    def _tally(self, log_at: int, first: int, length: int) -> Iterator[tuple[int, int]]:
        """Return how many answers some entries are, a window's in several parts."""
        end = first + length
        entries = self._words[log_at + first : log_at + min(end, self._log_size)]
        found = entries.tolist()
        if end > self._log_size:
            found += self._words[log_at : log_at + end - self._log_size].tolist()
        for low, times in Counter(map(_WINDOW_AND_COUNT.__and__, found)).items():
            yield low >> _COUNT_BITS, times * (low & _MOST_IN_ENTRY)

    def _mend(self, region: int) -> None:
        """Count again what the log of a region holds.

        Raises:
            OSError: It is none.
        """
        state_at = self._state_of(region)
        first, length = divmod(self._words[state_at], 1 << _FIRST_SHIFT)
        if first >= self._log_size or length > self._log_size:
            raise OSError(f"the log of region {region} lies nowhere")
        log_at, totals = state_at + self._log, [0] * self._shape.windows
        for window, count in self._tally(log_at, first, length):
            totals[window] += count
        for window, total in enumerate(totals):
            self._words[state_at + self._totals + window] = total
        if length < self._log_size:
            # Written in vain, perhaps, and not to be found by its window.
            self._words[log_at + (first + length) % self._log_size] = 0
