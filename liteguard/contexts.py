"""Bundles for protected contexts: in memory only, bounded, refreshed while used."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Optional

from liteguard.errors import LiteguardError
from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable
from liteguard.process.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liteguard.transport import BundleAnswer

    Fetch = Callable[[str, Optional[Mapping[str, Any]]], BundleAnswer]
    from liteguard.types import ProtectedContext

_MAX_CONTEXTS = 1000
ContextKey = tuple[Any, ...]


@dataclass
class _Held:
    context: ProtectedContext
    table: Optional[GuardTable]
    etag: str
    fetched_at: float
    used_at: float


class ProtectedBundles:
    """The bundles that the backend gives for single contexts.

    Thread-safe; the lock guards the dict and is never held across a fetch.

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
        self._lock = threading.Lock()
        self._held: OrderedDict[ContextKey, _Held] = OrderedDict()

    def table(self, context: ProtectedContext) -> Optional[GuardTable]:
        """Return the table for *context*, or ``None`` while there is none."""
        held = self._held.get(_key(context))
        if held is None:
            return None
        held.used_at = self._clock()
        return held.table

    def reset_after_fork(self) -> None:
        """Replace the lock, which another thread may have held at the fork."""
        self._lock = threading.Lock()

    def bind(self, context: ProtectedContext, fetch: Fetch) -> None:
        """Make sure of a bundle for *context*. Blocks for one request if it is new.

        A failure is logged and leaves the context without a bundle.
        """
        held = self._held.get(_key(context))
        if held is None or held.table is None:
            self._refresh(context, held, fetch)
        else:
            held.used_at = self._clock()

    def refresh_one(self, fetch: Fetch) -> None:
        """Refresh the oldest bundle that is due and in use. Blocks for one request."""
        now = self._clock()
        oldest = now - self._refresh_rate_seconds
        with self._lock:
            for key in [k for k, h in self._held.items() if h.used_at < oldest]:
                del self._held[key]
            due = [h for h in self._held.values() if h.fetched_at < oldest]
        if due:
            first = min(due, key=lambda held: held.fetched_at)
            self._refresh(first.context, first, fetch)

    def _refresh(
        self, context: ProtectedContext, held: Optional[_Held], fetch: Fetch
    ) -> None:
        now = self._clock()
        fresh = _Held(context, None, "", now, now) if held is None else replace(held)
        fresh.fetched_at = now
        try:
            answer = fetch(fresh.etag, encode_context(context))
            if answer.body is not None:
                bundle = decode_bundle(answer.body)
                fresh.table = GuardTable(bundle.documents)
                fresh.etag = bundle.etag or answer.etag
        except LiteguardError as error:
            logger.warning("liteguard: no bundle for a protected context: %s", error)
        self._keep(fresh)

    def _keep(self, held: _Held) -> None:
        key = _key(held.context)
        with self._lock:
            self._held[key] = held
            self._held.move_to_end(key)
            if len(self._held) > _MAX_CONTEXTS:
                self._held.popitem(last=False)


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
