"""Bundles for protected contexts: in memory only, bounded, refreshed while used."""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, Protocol

from liteguard.errors import BundleError, LiteguardError, TransportRejected
from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable
from liteguard.process.logs import Trouble
from liteguard.process.turns import Busy, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from liteguard.transport import BundleAnswer
    from liteguard.types import ProtectedContext

_MAX_CONTEXTS = 1000
_MAX_BYTES = 64 * 1024 * 1024
# Once there is too much, so much more is dropped that it need not be sorted each time.
_KEPT_SHARE = 0.9
_IDLE_SECONDS = 1.0
_PAUSE_AFTER_FAILURE_SECONDS = 5.0
_LONGEST_PAUSE = 3600.0
# The unit of expires_at is not published: seconds and milliseconds since 1970 differ so
# much that one cannot be taken for the other. What is neither is left to the backend.
_SECONDS = range(10**9, 10**11)
_MILLISECONDS = range(10**11, 10**14)
ContextKey = tuple[Any, ...]


class Fetch(Protocol):
    """Asks the backend for a bundle."""

    def __call__(
        self, etag: str, context: Mapping[str, Any], /, *, deadline: float
    ) -> BundleAnswer:
        """Ask until *deadline* (monotonic seconds) at most, unless *etag* holds."""


@dataclass
class _Held:
    """A context, and the bundle that the backend gave for it, if it did."""

    context: ProtectedContext
    expires_at: float
    used_at: float
    table: Optional[GuardTable] = None
    etag: str = ""
    size: int = 0
    valid_until: float = math.inf
    asked_at: float = -math.inf
    due_at: float = -math.inf
    # Held by the thread that asks: others that bind the same context wait for it.
    turn: Turn = field(default_factory=Turn)

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask, and somebody would use the answer."""
        return self.due_at <= now and self.used_at >= self.asked_at


class ProtectedBundles:
    """The bundles that the backend gives for single contexts.

    Thread-safe. Neither a check nor making room takes a lock: single operations of a
    dict are enough, and a signal handler may do either in the middle of the other.

    Bounded: at most 1,000 contexts and 64 MiB of bundles are held, the least recently
    used make room. Nothing is asked for a context that nobody uses; one in use costs a
    request in each refresh interval, and all of them together no more than 1,000.

    Args:
        refresh_rate_seconds: How old a bundle in use may grow.
        clock: Monotonic seconds.
        wall: Seconds since 1970, for the times that contexts carry.
    """

    def __init__(
        self,
        refresh_rate_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._refresh_rate_seconds = refresh_rate_seconds
        self._clock = clock
        self._wall = wall
        self._paused_until = -math.inf
        self._trouble = Trouble("liteguard: protected contexts get bundles again")
        self._pid = os.getpid()
        self._held: dict[ContextKey, _Held] = {}

    def __len__(self) -> int:
        """Return how many contexts are held."""
        return len(self._held)

    def table(self, context: ProtectedContext) -> Optional[GuardTable]:
        """Return the table for *context*, or ``None`` while there is none."""
        held = self._use(context)
        if held.valid_until < math.inf and self._wall() >= held.valid_until:
            return None
        return held.table

    def reset_after_fork(self) -> None:
        """Replace the locks, which other threads may have held at the fork.

        Does nothing in the process that holds them.
        """
        if self._pid != os.getpid():
            self._pid = os.getpid()
            for held in list(self._held.values()):
                held.turn = Turn()

    def bind(
        self, context: ProtectedContext, fetch: Fetch, *, deadline: float = math.inf
    ) -> None:
        """Make sure of a fresh bundle for *context*.

        Blocks for one request if it is new or was not used for an interval, until
        *deadline* (monotonic seconds) at most; threads that bind the same one share
        the request. A failure is logged and leaves what there was. While the backend
        does not answer, nothing blocks.
        """
        held = self._use(context)
        if self._may_ask(held):
            wait_seconds = min(max(0.0, deadline - time.monotonic()), _LONGEST_PAUSE)
            with contextlib.suppress(Busy):
                held.turn.call(
                    lambda: self._refresh_if_due(held, fetch, deadline), wait_seconds
                )
        self._make_room()

    def refresh_one(self, fetch: Fetch) -> float:
        """Refresh the oldest bundle that is due and in use. Blocks for one request.

        Returns:
            The seconds until the next should be looked for.
        """
        wall = self._wall()
        due = [
            held
            for held in list(self._held.values())
            if wall < held.expires_at and self._may_ask(held)
        ]
        for held in sorted(due, key=lambda held: held.asked_at):
            with contextlib.suppress(Busy):
                held.turn.call(partial(self._refresh, held, fetch, math.inf))
                break
        self._make_room()
        pace_seconds = self._refresh_rate_seconds / _MAX_CONTEXTS
        return pace_seconds if due else min(_IDLE_SECONDS, self._refresh_rate_seconds)

    def _use(self, context: ProtectedContext) -> _Held:
        key = _key(context)
        now = self._clock()
        held = self._held.get(key)
        if held is None:
            held = _Held(context, _expiry(context), now)
            # A scope whose bundle was dropped gets it again, if there is room for it.
            if len(self._held) < 2 * _MAX_CONTEXTS:
                held = self._held.setdefault(key, held)
        held.used_at = now
        return held

    def _may_ask(self, held: _Held) -> bool:
        now = self._clock()
        return now >= self._paused_until and held.is_due(now)

    def _refresh_if_due(self, held: _Held, fetch: Fetch, deadline: float) -> None:
        if self._may_ask(held):
            self._refresh(held, fetch, deadline)

    def _refresh(self, held: _Held, fetch: Fetch, deadline: float) -> None:
        held.asked_at = self._clock()
        rate_seconds = self._refresh_rate_seconds
        try:
            answer = fetch(held.etag, encode_context(held.context), deadline=deadline)
            if answer.body is not None:
                bundle = decode_bundle(answer.body)
                held.table = GuardTable(bundle.documents, previous=held.table)
                held.etag = bundle.etag or answer.etag
                held.size = len(answer.body)
                rate_seconds = max(rate_seconds, bundle.refresh_rate_seconds or 0.0)
        except LiteguardError as error:
            held.due_at = self._clock() + self._after_failure(error)
            return
        self._trouble.end()
        held.due_at = held.asked_at + rate_seconds
        # The backend took it although it has expired: its clock decides, for a while.
        wall = self._wall()
        is_over = wall >= held.expires_at
        held.valid_until = wall + rate_seconds if is_over else held.expires_at

    def _after_failure(self, error: LiteguardError) -> float:
        now = self._clock()
        self._trouble.begin(
            str(getattr(error, "status_code", None)),
            "liteguard: no bundle for a protected context, which answers with the last "
            "one or the fallback: %s",
            error,
        )
        asked = min(getattr(error, "retry_after_seconds", None) or 0.0, _LONGEST_PAUSE)
        pause = min(self._refresh_rate_seconds, _PAUSE_AFTER_FAILURE_SECONDS)
        if asked or not isinstance(error, (TransportRejected, BundleError)):
            # Not this context's fault: spare the others the wait.
            self._paused_until = now + max(pause, asked)
        return pause

    def _make_room(self) -> None:
        total = sum(held.size for held in list(self._held.values()))
        if len(self._held) <= _MAX_CONTEXTS and total <= _MAX_BYTES:
            return
        by_use = sorted(self._held.items(), key=lambda item: -item[1].used_at)
        total = 0
        for number, (key, held) in enumerate(by_use):
            total += held.size
            is_too_many = number >= _MAX_CONTEXTS * _KEPT_SHARE
            if number and (is_too_many or total > _MAX_BYTES * _KEPT_SHARE):
                self._held.pop(key, None)


def encode_context(context: ProtectedContext) -> dict[str, Any]:
    """Return *context* in its wire form."""
    encoded: dict[str, Any] = {
        "properties": dict(context.properties),
        "signature": context.signature,
    }
    if context.issued_at is not None:
        encoded["issuedAt"] = context.issued_at
    if context.expires_at is not None:
        encoded["expiresAt"] = context.expires_at
    return encoded


def _expiry(context: ProtectedContext) -> float:
    """Return when *context* expires, in seconds since 1970."""
    stated = context.expires_at
    if stated is None:
        return math.inf
    if int(stated) in _SECONDS:
        return float(stated)
    return stated / 1000 if int(stated) in _MILLISECONDS else math.inf


def _key(context: ProtectedContext) -> ContextKey:
    return (
        context.signature,
        tuple(sorted(context.properties.items())),
        context.issued_at,
        context.expires_at,
    )
