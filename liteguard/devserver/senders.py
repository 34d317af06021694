"""Who sent a request, as its headers tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from fastapi import Request

MAX_HEADER_CHARACTERS = 200
"""What is kept of a header; the rest is cut off."""


@dataclass(frozen=True)
class Sender:
    """The process behind a request.

    Args:
        pid: Its process id, as text.
        process: Its opaque id, unique beyond reuse of process ids.
        user_agent: Name and version of the client.
        address: Where it is, as the connection or a trusted proxy tells.
    """

    pid: Optional[str] = None
    process: Optional[str] = None
    user_agent: Optional[str] = None
    address: str = ""


def sender_of(request: Request) -> Sender:
    """Read the sender of a request from its headers."""
    return Sender(
        pid=_bounded(request, "X-Liteguard-Pid"),
        process=_bounded(request, "X-Liteguard-Process"),
        user_agent=_bounded(request, "User-Agent"),
        address=address_of(request),
    )


def address_of(request: Request) -> str:
    """Return where a request comes from; empty if that is not known."""
    return request.client.host if request.client else ""


def _bounded(request: Request, name: str) -> Optional[str]:
    value = request.headers.get(name)
    return value[:MAX_HEADER_CHARACTERS] if value else None
