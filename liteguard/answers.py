"""What the backend answers: read within bounds, and refusals with what to do."""

from __future__ import annotations

import email.utils
import re
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.errors import TransportError, TransportRejected, TransportTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
_LONGEST_REASON = 100
_REFUSED_FROM = 400
_BROKEN_FROM = 500
_SECONDS = re.compile(r"\s*[0-9]+\s*")

_HINTS = {
    401: "the token is not valid: check LITEGUARD_TOKEN and whether it was disabled",
    403: "the token may not use this environment: check LITEGUARD_ENV",
    404: "no such address or environment: check LITEGUARD_BACKEND_URL, LITEGUARD_ENV",
    407: "a proxy wants a password: check the proxy settings",
    413: "the batch is too large for the backend",
    429: "the backend asks to slow down",
}


def read_bounded(chunks: Iterable[bytes], deadline: float) -> bytes:
    """Return the whole body.

    Args:
        chunks: The body, decompressed.
        deadline: When it has to be there, in monotonic seconds.

    Raises:
        TransportError: It is too large, or takes too long to decompress.
    """
    read: list[bytes] = []
    size = 0
    for chunk in chunks:
        read.append(chunk)
        size += len(chunk)
        if size > _LARGEST_ANSWER_BYTES:
            raise TransportError(
                f"the answer is larger than {_LARGEST_ANSWER_BYTES // 2**20} MiB: "
                "check LITEGUARD_BACKEND_URL and what answers there"
            )
        if time.monotonic() > deadline:
            raise TransportTimeout(
                "the answer did not end in time: "
                "check LITEGUARD_BACKEND_URL and the network"
            )
    return b"".join(read)


def rejection(
    status: int, reason: Optional[str], headers: Mapping[str, str]
) -> TransportRejected:
    """Return the error that an error status is, with what to do about it."""
    said = reason[:_LONGEST_REASON] if reason and reason.isprintable() else ""
    hint = _HINTS.get(status) or f"{said or 'no reason given'}{_remedy(status)}"
    return TransportRejected(
        f"the backend answered {status}: {hint}",
        status_code=status,
        retry_after_seconds=parse_retry_after(headers.get("Retry-After")),
    )


def _remedy(status: int) -> str:
    if status < _REFUSED_FROM:
        return "; redirects are not followed: check LITEGUARD_BACKEND_URL"
    return "" if status < _BROKEN_FROM else "; it is asked again"


def parse_retry_after(
    text: Optional[str], now: Callable[[], float] = time.time
) -> Optional[float]:
    """Return the seconds of a ``Retry-After`` in either form; nonsense is none.

    RFC 9110, 10.2.3.
    """
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = email.utils.parsedate_tz(text)
        return moment and max(0.0, email.utils.mktime_tz(moment) - now())
    except (ValueError, OverflowError, IndexError, TypeError):
        # What claims to be a date is not always one.
        return None
