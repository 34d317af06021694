"""Which window an answer counts in: the guard, and the values it is partitioned by."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from liteguard.host.window_table import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_SHOWN = 256
_MOST_KNOWN = 10_000


class Digests:
    """Names windows by a digest keyed with a secret.

    So partitions cannot be guessed from the state folder, and nobody can make two that
    share a window. Thread-safe.

    Args:
        secret: The project client token.
    """

    def __init__(self, secret: str) -> None:
        key = blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=32)
        self._hash = blake2b(
            key=key.digest(), digest_size=DIGEST_BYTES, person=b"liteguard-window"
        )

        self._known: dict[tuple[str, ...], tuple[bytes, Any]] = {}

    def of(self, limit: tuple[str, ...], values: tuple[str, ...] = ()) -> bytes:
        """Return the digest of one window.

        Args:
            limit: What tells its limit from others, names of properties included.
            values: The properties' values.
        """
        known = self._known.get(limit)
        if known is None:
            known = self._remember(limit)
        if not values:
            return known[0]
        made = known[1].copy()
        made.update(_joined(values))
        return cast("bytes", made.digest())

    def _remember(self, limit: tuple[str, ...]) -> tuple[bytes, Any]:
        """Keep what the windows of a limit have in common."""
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        made = self._hash.copy()
        made.update(b"%d:" % len(limit) + _joined(limit))
        known = self._known[limit] = (made.digest(), made)
        return known


def partition_values(
    names: tuple[str, ...], properties: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the texts that tell partitions apart, one for each of *names*.

    A missing property counts as empty text, and 1 and "1" are the same, as in the
    published package.
    """
    return tuple([_text(properties.get(name)) for name in names])


def _joined(parts: tuple[str, ...]) -> bytes:
    # Each with its length, so that no separator within one can mislead.
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return text.encode("utf-8", "surrogatepass")


def shown(text: str) -> str:
    """Return *text* as a signal can carry it: bounded, and encodable."""
    return text[:_MOST_SHOWN].encode("utf-8", "replace").decode("utf-8")


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    try:
        return "" if value is None else str(value)
    except Exception:  # noqa: BLE001  a value's own code may raise anything
        return ""
