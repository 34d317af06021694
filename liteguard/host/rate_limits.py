"""Rate limits of guards: never more open answers in 60 seconds than the limit.

All processes that share a state folder count together. Where none can be shared, each
counts for itself, and one log line says so.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import orjson

from liteguard.errors import StateFolderError
from liteguard.host.partitions import Digests, partition_values, shown
from liteguard.host.stripes import lock_count
from liteguard.host.window_files import SharedTable, open_table, own_memory
from liteguard.host.window_table import Count, Shape, WindowTable
from liteguard.process.clock import host_boot_ns
from liteguard.process.logs import Trouble
from liteguard.process.shared_locks import ThreadLocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from liteguard.evaluation.bundle import DryRunRateLimit, RateLimit
    from liteguard.evaluation.table import CompiledGuard

    Limit = Union[RateLimit, DryRunRateLimit]

# A minute has 60,000 milliseconds, and an entry stands for all answers of one: a guard
# that is alone in its stripe is counted exactly, whatever its limit. 12 and 18 MiB.
SHAPES = {
    "guards": Shape(stripes=16, windows=32, exact=60 * 1024, shared=128),
    "partitions": Shape(stripes=128, windows=256, exact=8 * 1024, shared=32),
}

_MOST_DESCRIBED = 10_000
# Each try may reserve a file's space and give it back.
_PAUSE_AFTER_FAILURE_NS = 60 * 10**9
_DAMAGED = (OSError, IndexError, ValueError)
_EXCEEDED = {"active": b"limited", "dry_run": b"would_limit"}
_REST = b'%b,"outcome":"%b","countInWindow":%d,"partitionValues":%b}'
Key = tuple[str, str, str]
"""Which limit: the one in force or a dry run, of which guard, and of which trial."""


class LimitAnswer(NamedTuple):
    """What limits make of an open answer.

    Args:
        is_open: Whether it stays open.
        decisions: What was decided, as JSON for the signal; empty if nothing was.
    """

    is_open: bool
    decisions: bytes


class RateLimits:
    """Counts the open answers of one client's guards. Thread-safe.

    Memory and files are bounded: there is room for 512 guards without partitions, and
    for 32,768 partitions. Only windows without an answer in the last 60 seconds make
    room for others; a new one that finds none is answered closed.

    Fork-safe, and goes on as it is in a child: what is mapped stays shared, and a lock
    held at the fork stays with its thread.

    Args:
        secret: The project client token.
        clock: Nanoseconds, the same for all processes of the host.
    """

    def __init__(self, secret: str, *, clock: Callable[[], int] = host_boot_ns) -> None:
        self._digests = Digests(secret)
        self._clock = clock
        self._folder: Optional[Path] = None
        self._pid = os.getpid()
        # What counts now, by kind: the one that is shared, or the one of this process.
        self._tables: dict[str, WindowTable] = {}
        self._shared: dict[str, SharedTable] = {}
        self._own: dict[str, WindowTable] = {}
        # Why not to share, by kind: a damaged file, or when one was made in vain.
        self._given_up: dict[str, SharedTable] = {}
        self._retry_at: dict[str, int] = {}
        # By limit, with the object that it was made for: how its decisions begin.
        self._described: dict[Key, tuple[Limit, bytes]] = {}
        self._has_missed = False
        self._sharing = Trouble("liteguard: rate limits hold for the whole host again")
        self._counting = Trouble("liteguard: all rate limits can be counted again")

    def use(self, folder: Optional[Path]) -> None:
        """Count from now on in files of *folder*, or for this process if it is None.

        Opens nothing: the first check of a guard with a limit does.
        """
        if folder != self._folder:
            self._folder = folder
            self._tables, self._shared = {}, {}
            self._given_up, self._retry_at = {}, {}

    def reset_after_fork(self) -> None:
        """Drop what only this process's parent counts in."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._own = {}
            self._tables = {kind: table.windows for kind, table in self._shared.items()}

    def look(self) -> None:
        """Look whether the files are still those that other processes find.

        Blocks for a few file operations; called now and then in the background.
        """
        for kind, shared in list(self._shared.items()):
            if not shared.is_in_place():
                self._open(kind)
        for kind in list(self._own):
            if kind not in self._shared:
                self._open(kind)
        if not self._has_missed:
            self._counting.end()
        self._has_missed = False

    def admit(
        self,
        guard: CompiledGuard,
        properties: Mapping[str, Any],
        *,
        consumes: bool,
        is_recorded: bool,
    ) -> LimitAnswer:
        """Apply a guard's limits to an answer that is open so far.

        Never raises. Waits 50 ms for a process that was stopped, or had to wait for a
        processor, in the middle of a count, and goes on without it. Waits 200 ms at
        most, on a host that cannot keep up; then the answer is closed. The first one of
        a host that needs a file makes it.

        Args:
            guard: With a rate limit, a dry run of one, or both.
            properties: What its rules looked at.
            consumes: ``False`` to look without counting, for dry runs as well.
            is_recorded: Whether a signal will carry the decisions.
        """
        is_open, decisions = True, []
        limit, trial = guard.rate_limit, guard.dry_run_rate_limit
        if limit is not None:
            key = ("active", guard.name, "")
            count, values = self._take(key, limit, properties, consumes=consumes)
            is_open = count.fits
            if is_recorded:
                decisions.append(self._describe(key, limit, count, values))
        if trial is not None and consumes:
            key = ("dry_run", guard.name, trial.dry_run_id)
            count, values = self._take(key, trial, properties, consumes=consumes)
            if is_recorded:
                decisions.append(self._describe(key, trial, count, values))
        return LimitAnswer(
            is_open, b"[%b]" % b",".join(decisions) if decisions else b""
        )

    def _describe(
        self, key: Key, limit: Limit, count: Count, values: tuple[str, ...]
    ) -> bytes:
        """Return a decision in its wire form."""
        known = self._described.get(key)
        if known is None or known[0] is not limit:
            if len(self._described) >= _MOST_DESCRIBED:
                self._described.clear()
            known = self._described[key] = (limit, _beginning(key, limit))
        number = count.number
        if number is None:
            number = limit.requests_per_minute + 1
        found = b"{}"
        if values:
            names = map(shown, limit.partition_properties)
            found = orjson.dumps(dict(zip(names, map(shown, values))))
        outcome = b"within_limit" if count.fits else _EXCEEDED[key[0]]
        return _REST % (known[1], outcome, number, found)

    def _take(
        self,
        key: Key,
        limit: Limit,
        properties: Mapping[str, Any],
        *,
        consumes: bool,
    ) -> tuple[Count, tuple[str, ...]]:
        names = limit.partition_properties
        kind = "partitions" if names else "guards"
        values = partition_values(names, properties) if names else ()
        digest = self._digests.of(key + names, values)
        most = limit.requests_per_minute
        count = self._count(kind, digest, most, consumes=consumes)
        if count.number is None:
            self._tell_missing(kind, key[1])
        return count, values

    def _count(self, kind: str, digest: bytes, most: int, *, consumes: bool) -> Count:
        try:
            table = self._tables.get(kind) or self._open(kind)
            return table.take(digest, most, consumes=consumes)
        except _DAMAGED as error:
            # Something else has written into the file; or there is no memory.
            with contextlib.suppress(OSError):
                table = self._give_up(kind, error)
                return table.take(digest, most, consumes=consumes)
        return Count(fits=False, number=None)

    def _open(self, kind: str) -> WindowTable:
        earlier = self._shared.get(kind)
        if self._folder is None or not self._may_share(kind):
            return self._use_own(kind) if earlier is None else earlier.windows
        try:
            shared = open_table(
                self._folder, kind, SHAPES[kind], earlier=earlier, clock=self._clock
            )
        except (OSError, StateFolderError) as error:
            # Where the folder is gone nothing was made, and it soon is there again.
            if not isinstance(error, FileNotFoundError):
                self._retry_at[kind] = self._clock() + _PAUSE_AFTER_FAILURE_NS
            if earlier is not None:
                # Deleted, but shared still by all who had it.
                return earlier.windows
            return self._count_alone(kind, error)
        self._shared[kind] = shared
        self._tables[kind] = shared.windows
        self._sharing.end()
        return shared.windows

    def _may_share(self, kind: str) -> bool:
        given_up = self._given_up.get(kind)
        if given_up is not None and given_up.is_in_place():
            return False
        return self._clock() >= self._retry_at.get(kind, 0)

    def _give_up(self, kind: str, error: Exception) -> WindowTable:
        """Count alone until the file that is damaged is gone."""
        shared = self._shared.pop(kind, None)
        if shared is None:
            return self._use_own(kind)
        self._given_up[kind] = shared
        why = StateFolderError(f"{shared.path} is damaged ({error}): remove it")
        return self._count_alone(kind, why)

    def _count_alone(self, kind: str, error: Exception) -> WindowTable:
        self._sharing.begin(
            type(error).__name__,
            "liteguard: rate limits hold for each process alone, so that the host may "
            "answer open more often than they say: %s",
            error,
        )
        return self._use_own(kind)

    def _use_own(self, kind: str) -> WindowTable:
        own = self._own.get(kind)
        if own is None:
            shape = SHAPES[kind]
            locks = ThreadLocks(lock_count(shape.stripes))
            made = WindowTable(own_memory(shape.size), shape, locks, self._clock)
            # One of several threads that do this at once wins.
            own = self._own.setdefault(kind, made)
        self._tables[kind] = own
        return own

    def _tell_missing(self, kind: str, name: str) -> None:
        self._has_missed = True
        self._counting.begin(
            kind,
            "liteguard: guard %r was closed because its rate limit could not be "
            "counted: more %s were in use within a minute than there is room for, or "
            "many processes are stopped, or the host has far too much to do",
            name,
            kind,
        )


def _beginning(key: Key, limit: Limit) -> bytes:
    """Return what all decisions of a limit begin with."""
    target, _, trial_id = key
    members: dict[str, Any] = {"evaluationTarget": target}
    if target == "dry_run":
        members["dryRunId"] = shown(trial_id)
    members["requestsPerMinute"] = limit.requests_per_minute
    members["partitionProperties"] = [shown(n) for n in limit.partition_properties]
    return orjson.dumps(members)[:-1]
