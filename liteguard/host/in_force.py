"""The bundle in force in this process, and the snapshot by which others get it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.errors import SnapshotError
from liteguard.host.snapshots import Snapshot, SnapshotStore
from liteguard.process.logs import Trouble, logger

if TYPE_CHECKING:
    from liteguard.evaluation.bundle import Bundle

# On a full disk a large snapshot is not tried again at every look.
_PAUSE_BETWEEN_WRITES_SECONDS = 5.0
# Neither the snapshot's header nor a request's holds more.
_LONGEST_ETAG = 512


class BundleInForce:
    """Takes bundles from the backend or the snapshot, and keeps the two the same.

    Used by one thread at a time.

    Args:
        store: The snapshot; ``None`` for a process on its own.
        publish: Puts a bundle into force.
        snapshot: What is in force already, if this process inherited it.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: Optional[SnapshotStore],
        publish: Callable[[Snapshot], None],
        *,
        snapshot: Optional[Snapshot] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._trouble = Trouble("liteguard: the snapshot can be used again")
        self._restore_at = -math.inf
        self._is_unreadable = False
        self._problems: tuple[str, ...] = ()
        self.snapshot = snapshot
        self.is_ahead = False
        """Whether the snapshot on disk is older than what is in force here."""
        self.is_damaged = False
        """Whether what is in force cannot be read: the backend alone has it whole."""

    @property
    def etag(self) -> str:
        """The tag of what is in force and whole; "" if there is none."""
        return "" if self.snapshot is None or self.is_damaged else self.snapshot.etag

    @property
    def is_whole(self) -> bool:
        """Whether there is a bundle that can be read."""
        return self.snapshot is not None and not self.is_damaged

    def reload(self) -> None:
        """Put the snapshot into force if it changed. Blocks for a look at the file."""
        if self._store is None:
            return
        try:
            self._reload(self._store)
        except BaseException:
            # A signal handler raised something: what was being read counts as unseen.
            self._store.forget()
            raise

    def _reload(self, store: SnapshotStore) -> None:
        try:
            snapshot = store.read_if_changed()
        except SnapshotError as error:
            self._trouble.begin("read", "liteguard: %s; keeping the last one", error)
            self._is_unreadable = True
            return
        if snapshot is None:
            return
        self._trouble.end()
        self._is_unreadable = False
        last = self.snapshot.generation if self.snapshot else 0
        self.is_ahead = snapshot.generation < last
        if snapshot.generation > last:
            self._put(snapshot)

    def accept(self, bundle: Bundle, header_etag: str) -> None:
        """Put what the backend sent into force, here and on the whole host."""
        if bundle.problems != self._problems:
            # Once, also where a backend without tags sends the same again and again.
            self._problems = bundle.problems
            for problem in bundle.problems:
                logger.warning("liteguard: %s", problem)
        last = self.snapshot.generation if self.snapshot else 0
        etag = bundle.etag or header_etag
        snapshot = Snapshot(
            # Wall-clock time, so that it still grows after the folder was deleted.
            generation=max(last + 1, int(time.time() * 1000)),
            etag=etag if len(etag) <= _LONGEST_ETAG else "",
            refresh_rate_seconds=bundle.refresh_rate_seconds,
            documents=bundle.documents,
        )
        if self._write(snapshot):
            return
        in_force = self.snapshot
        if in_force is None or in_force.generation < snapshot.generation:
            self._put(snapshot)
            self.is_ahead = True

    def restore(self) -> None:
        """Write the snapshot again if it is missing, damaged or older than ours."""
        if self._store is None or self.snapshot is None:
            return
        is_lost = self._store.is_missing or self._is_unreadable
        if (is_lost or self.is_ahead) and self._clock() >= self._restore_at:
            ours = self.snapshot
            is_written = self._write(ours)
            if self.snapshot is ours:
                self.is_ahead = not is_written

    def _write(self, snapshot: Snapshot) -> bool:
        """Write *snapshot*, read it back as a follower would, return if that worked."""
        if self._store is None:
            return False
        self._restore_at = self._clock() + _PAUSE_BETWEEN_WRITES_SECONDS
        try:
            self._store.write(snapshot)
        except SnapshotError:
            self.is_damaged = True
            return False
        except OSError as error:
            self._trouble.begin(
                "write",
                "liteguard: cannot write the snapshot (%s): other processes keep the "
                "bundle they have",
                error.strerror,
            )
            return False
        self.reload()
        now = self.snapshot
        return now is not None and now.generation == snapshot.generation

    def _put(self, snapshot: Snapshot) -> None:
        # First, so that nobody takes for in force what is not.
        self._publish(snapshot)
        self.snapshot = snapshot
        self.is_damaged = False
