"""Bundles for protected contexts: in memory only, bounded, refreshed while used."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional

from liteguard.errors import BundleError, LiteguardError, TransportRejected
from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable
from liteguard.process.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liteguard.transport import BundleAnswer

    Fetch = Callable[[str, Optional[Mapping[str, Any]]], BundleAnswer]
    from liteguard.types import ProtectedContext

_MAX_CONTEXTS = 1000
_PAUSE_AFTER_FAILURE_SECONDS = 5.0
_LONGEST_PAUSE = 3600.0
_TELL_EVERY_SECONDS = 60.0
ContextKey = tuple[Any, ...]


@dataclass
class _Held:
    """A context, and the bundle that the backend gave for it, if it did."""

    context: ProtectedContext
    used_at: float
    table: Optional[GuardTable] = None
    etag: str = ""
    asked_at: float = -math.inf
    due_at: float = -math.inf

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask, and somebody would use the answer."""
        return self.due_at <= now and self.used_at >= self.asked_at


class ProtectedBundles:
    """The bundles that the backend gives for single contexts.

    Thread-safe. A check takes no lock: single operations of a dict are enough. What
    was dropped to make room is fetched again in the background if it is still used.

    Args:
        refresh_rate_seconds: How old a bundle in use may grow.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        refresh_rate_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refresh_rate_seconds = refresh_rate_seconds
        self._clock = clock
        self._paused_until = -math.inf
        self._tell_at = -math.inf
        # Guards the making of room, never a fetch.
        self._lock = threading.Lock()
        self._held: dict[ContextKey, _Held] = {}

    def table(self, context: ProtectedContext) -> Optional[GuardTable]:
        """Return the table for *context*, or ``None`` while there is none."""
        return self._use(context).table

    def reset_after_fork(self) -> None:
        """Replace the lock, which another thread may have held at the fork."""
        self._lock = threading.Lock()

    def bind(self, context: ProtectedContext, fetch: Fetch) -> None:
        """Make sure of a fresh bundle for *context*.

        Blocks for one request if it is new or was not used for an interval. A failure
        is logged and leaves what there was. While the backend does not answer, nothing
        blocks.
        """
        held = self._use(context)
        if self._may_ask(held):
            self._refresh(held, fetch)
        self._make_room()

    def refresh_one(self, fetch: Fetch) -> None:
        """Refresh the oldest bundle that is due and in use. Blocks for one request."""
        due = [held for held in list(self._held.values()) if self._may_ask(held)]
        if due:
            self._refresh(min(due, key=lambda held: held.asked_at), fetch)
        self._make_room()

    def _use(self, context: ProtectedContext) -> _Held:
        key = _key(context)
        now = self._clock()
        held = self._held.get(key) or self._held.setdefault(key, _Held(context, now))
        held.used_at = now
        return held

    def _may_ask(self, held: _Held) -> bool:
        now = self._clock()
        return now >= self._paused_until and held.is_due(now)

    def _refresh(self, held: _Held, fetch: Fetch) -> None:
        held.asked_at = self._clock()
        try:
            answer = fetch(held.etag, encode_context(held.context))
            if answer.body is not None:
                bundle = decode_bundle(answer.body)
                held.table = GuardTable(bundle.documents, previous=held.table)
                held.etag = bundle.etag or answer.etag
            held.due_at = held.asked_at + self._refresh_rate_seconds
        except LiteguardError as error:
            held.due_at = self._clock() + self._after_failure(error)

    def _after_failure(self, error: LiteguardError) -> float:
        now = self._clock()
        if now >= self._tell_at:
            self._tell_at = now + _TELL_EVERY_SECONDS
            logger.warning("liteguard: no bundle for a protected context: %s", error)
        asked = min(getattr(error, "retry_after_seconds", None) or 0.0, _LONGEST_PAUSE)
        pause = min(self._refresh_rate_seconds, _PAUSE_AFTER_FAILURE_SECONDS)
        if asked or not isinstance(error, (TransportRejected, BundleError)):
            # Not this context's fault: spare the others the wait.
            self._paused_until = now + max(pause, asked)
        return pause

    def _make_room(self) -> None:
        with self._lock:
            excess = len(self._held) - _MAX_CONTEXTS
            if excess > 0:
                by_use = sorted(self._held.items(), key=lambda item: item[1].used_at)
                for key, _ in by_use[:excess]:
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


def _key(context: ProtectedContext) -> ContextKey:
    return (
        context.signature,
        tuple(sorted(context.properties.items())),
        context.issued_at,
        context.expires_at,
    )
