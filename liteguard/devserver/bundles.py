"""The bundle of each environment, built once per revision."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from liteguard.devserver.guards import guard_documents

if TYPE_CHECKING:
    import sqlite3

    from liteguard.devserver.environments import Environment


@dataclass(frozen=True)
class Bundle:
    """What a fetch is answered with.

    Args:
        revision: The environment's revision that it shows.
        etag: Its version; changes with every change of any guard.
        body: The encoded answer.
    """

    revision: int
    etag: str
    body: bytes

    def matches(self, if_none_match: Optional[str]) -> bool:
        """Tell whether a client that sent this header has this bundle already.

        The published package sends the etag bare, RFC 9110 wants it in quotes.
        """
        if not if_none_match:
            return False
        candidates = (part.strip() for part in if_none_match.split(","))
        return any(_bare(candidate) in (self.etag, "*") for candidate in candidates)


def _bare(etag: str) -> str:
    unmarked = etag.removeprefix("W/")
    return unmarked.strip('"')


def build_bundle(connection: sqlite3.Connection, environment: Environment) -> Bundle:
    """Encode all guards of an environment."""
    guards = ",".join(guard_documents(connection, environment.id))
    rate = json.dumps(environment.refresh_rate_seconds)
    content = f'{{"guards":[{guards}],"refreshRateSeconds":{rate}'
    # The digest keeps two databases that reached the same revision apart.
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    etag = f"{environment.revision}-{digest}"
    body = f'{content},"etag":"{etag}"}}'.encode()
    return Bundle(environment.revision, etag, body)


class BundleCache:
    """The newest bundle of each environment; safe to share between threads.

    Threads may build the same bundle at once or replace a newer one by an older one;
    both are harmless, because the revision decides whether an entry is used.
    """

    def __init__(self) -> None:
        self._bundles: dict[int, Bundle] = {}

    def current(
        self, connection: sqlite3.Connection, environment: Environment
    ) -> Bundle:
        """Return the bundle of the environment's revision.

        Args:
            connection: The transaction that *environment* was read in.
            environment: Whose bundle.
        """
        bundle = self._bundles.get(environment.id)
        if bundle is None or bundle.revision != environment.revision:
            bundle = build_bundle(connection, environment)
            self._bundles[environment.id] = bundle
        return bundle
