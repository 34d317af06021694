"""A shared table cut into stripes, each behind a lock that nobody can keep for long.

A stripe lies in a region of the memory, and a directory says in which. Whoever waits in
vain for a region's lock, because its holder is stopped, moves the stripe into a spare
region. The holder, should it go on, sees afterwards that what it wrote counts no more.

A region's turns are odd from when it is taken until a change of it is whole. Who finds
them odd mends the region first: its last holder died, was interrupted, or was copied in
the middle of a change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Protocol

from liteguard.process.shared_locks import LOCK_BYTES

if TYPE_CHECKING:
    import mmap

HEADER_BYTES = 8192
"""What the memory begins with: whose it is, and the directory."""

LOCK_WORDS = 16
"""What a region begins with: its lock, and its turns."""

SPARES = 8
"""How many processes may be stopped with a lock in their hands, and harm nobody."""

_MOST_STRIPES = 512
_DIRECTORY_WORD = HEADER_BYTES // 8 - _MOST_STRIPES
_MOVE_WORD = _DIRECTORY_WORD - 1
_FIRST_TURNS = (HEADER_BYTES + LOCK_BYTES) // 8
_MOVING = (1 << 64) - 1
_HALF = 1 << 32
# As long as a thread may have to wait for a processor on a machine with much to do.
_LONGEST_WAIT_SECONDS = 0.05
_MOVE_SECONDS = 0.01
_MOST_TRIES = 3


class Locks(Protocol):
    """A row of locks."""

    def acquire(self, index: int, wait_seconds: float) -> bool:
        """Take a lock, waiting for *wait_seconds* at most."""

    def release(self, index: int) -> None:
        """Release a lock, if the calling thread holds it."""


class Stripes:
    """Where stripes lie, and who may write there. Thread-safe.

    Args:
        memory: As large as `memory_size` says; zeros are a valid directory.
        words: The same memory as words.
        count: How many stripes there are, at most 512.
        region_words: How large a region is, with what it begins with.
        locks: As many as `lock_count` says.
        mend: Called with a region, its lock held, that may be torn.
    """

    def __init__(
        self,
        memory: mmap.mmap,
        words: memoryview,
        *,
        count: int,
        region_words: int,
        locks: Locks,
        mend: Callable[[int], None],
    ) -> None:
        self._memory = memory
        self._words = words
        self._count = count
        self._regions = count + SPARES
        self._region_words = region_words
        self._locks = locks
        self._mend = mend

    def start_of(self, region: int) -> int:
        """Return in which word *region* begins."""
        return HEADER_BYTES // 8 + region * self._region_words

    def is_at(self, stripe: int, region: int) -> bool:
        """Whether *stripe* lies in *region* still."""
        return self._region_of(stripe) == region

    def hold(self, stripe: int) -> Optional[int]:
        """Take the lock of the region that *stripe* lies in, and return the region.

        Waits 50 ms for a holder that is stopped, then moves the stripe. Returns None if
        that cannot be done, or if others were quicker three times as long.

        Raises:
            OSError: The memory holds something else by now.
        """
        for _ in range(_MOST_TRIES):
            region = self._region_of(stripe)
            try:
                if self._acquire(region, 0.0):
                    return region
                turns = self._turns(region)
                if self._acquire(region, _LONGEST_WAIT_SECONDS):
                    return region
            except BaseException:
                # A signal handler has raised: nobody would release it any more.
                self.release(region, is_whole=False)
                raise
            is_stopped = self._turns(region) == turns
            if is_stopped and not self._move(stripe, region):
                return None
        return None

    def release(self, region: int, *, is_whole: bool) -> None:
        """Release the lock of *region*, if there is one and this thread holds it.

        Args:
            region: Which one.
            is_whole: ``False`` after an interruption: the next holder has to mend it.
        """
        if region < self._regions:
            if is_whole:
                self._words[_FIRST_TURNS + region * self._region_words] += 1
            self._locks.release(region)

    def _region_of(self, stripe: int) -> int:
        # Stored as a difference, so that zeros say that each is in its own region.
        return self._words[_DIRECTORY_WORD + stripe] ^ stripe

    def _is_region(self, region: int) -> bool:
        """Whether *region* is one, and does not say that a stripe is being moved."""
        return region < self._regions

    def _turns(self, region: int) -> int:
        if not self._is_region(region):
            return 0
        return self._words[_FIRST_TURNS + region * self._region_words]

    def _acquire(self, region: int, wait_seconds: float) -> bool:
        if region >= self._regions or not self._locks.acquire(region, wait_seconds):
            return False
        turns_at = _FIRST_TURNS + region * self._region_words
        turns = self._words[turns_at]
        if turns & 1:
            self._mend(region)
        self._words[turns_at] = (turns + 1 | 1) % _HALF
        return True

    def _move(self, stripe: int, region: int) -> bool:
        """Move *stripe* out of *region*, and return whether it is elsewhere by now."""
        mover = self._regions
        if not self._locks.acquire(mover, _MOVE_SECONDS):
            return False
        try:
            self._finish_move()
            # Otherwise no spare was left to finish with.
            is_finished = not self._words[_MOVE_WORD]
            if is_finished and self.is_at(stripe, region):
                if not self._is_region(region):
                    raise OSError(f"stripe {stripe} lies nowhere")
                self._move_now(stripe, region)
            return not self.is_at(stripe, region)
        finally:
            self._locks.release(mover)

    def _finish_move(self) -> None:
        """Finish what somebody began who died over it, or was interrupted."""
        note = self._words[_MOVE_WORD]
        if not note:
            return
        stripe, region = divmod(note - 1, _HALF)
        is_sound = stripe < self._count and self._is_region(region)
        if not is_sound or self._is_region(self._region_of(stripe)):
            self._words[_MOVE_WORD] = 0
        else:
            self._move_now(stripe, region)

    def _move_now(self, stripe: int, region: int) -> None:
        spare = self._hold_spare()
        if spare is None:
            return
        try:
            self._move_to(spare, stripe, region)
        finally:
            self._locks.release(spare)

    def _move_to(self, spare: int, stripe: int, region: int) -> None:
        words, place = self._words, _DIRECTORY_WORD + stripe
        words[_MOVE_WORD] = stripe * _HALF + region + 1
        # First, and not after the copy: whoever writes into the region until then, and
        # still finds its stripe there, has what it wrote copied.
        words[place] = _MOVING
        start, to = 8 * self.start_of(region), 8 * self.start_of(spare)
        begin, end = 8 * LOCK_WORDS, 8 * self._region_words
        self._memory[to + begin : to + end] = self._memory[start + begin : start + end]
        # The holder may have been in the middle of a change, or have gone on meanwhile.
        words[_FIRST_TURNS + spare * self._region_words] |= 1
        words[place] = spare ^ stripe
        words[_MOVE_WORD] = 0

    def _hold_spare(self) -> Optional[int]:
        used = {self._region_of(stripe) for stripe in range(self._count)}
        for region in range(self._regions):
            is_free = region not in used
            if is_free and self._locks.acquire(region, 0.0):
                return region
        return None


def lock_count(stripes: int) -> int:
    """Return how many locks there are: one for each region, and one for moving."""
    return stripes + SPARES + 1


def memory_size(stripes: int, region_words: int) -> int:
    """Return how many bytes *stripes* stripes and their spares take."""
    regions = (stripes + SPARES) * region_words
    return HEADER_BYTES + 8 * (regions + LOCK_WORDS)
