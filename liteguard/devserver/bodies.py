"""Request bodies: read whole, bounded in size, gunzipped.

An ASGI middleware, so that routes and their documentation know only plain JSON.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from liteguard.devserver.problems import Problem, answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_RECEIVED_BYTES = 8 * 1024 * 1024
"""Bound on a body as it is sent."""

MAX_DECODED_BYTES = 32 * 1024 * 1024
"""Bound on a body after decompression."""

GZIP_WINDOW = 16 + zlib.MAX_WBITS  # 16 asks zlib for gzip's framing


class BodyRefusedError(Exception):
    """A body that is too large or cannot be decompressed.

    Args:
        status: HTTP status of the answer.
        reason: Why, in words.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class BoundedBodies:
    """Middleware that hands the application one plain body within its bounds.

    Args:
        app: The application behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = decode(await read(receive), header(scope, b"content-encoding"))
        except BodyRefusedError as refusal:
            problem = Problem(field="body", reason=refusal.reason)
            await answer(refusal.status, problem)(scope, receive, send)
            return
        await self._app(scope, replay(body, receive), send)


def header(scope: Scope, name: bytes) -> bytes:
    """Return a request header's value in lower case, or nothing."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(name, b"").lower()


async def read(receive: Receive) -> bytes:
    """Collect the request body.

    A body that is too large is read to its end and thrown away: a client that is
    still sending would see a broken connection instead of the answer.
    """
    body = bytearray()
    received = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyRefusedError(400, "is incomplete")
        chunk = message.get("body", b"")
        received += len(chunk)
        if received <= MAX_RECEIVED_BYTES:
            body += chunk
        more = message.get("more_body", False)
    if received > MAX_RECEIVED_BYTES:
        raise BodyRefusedError(413, f"is larger than {MAX_RECEIVED_BYTES} bytes")
    return bytes(body)


def decode(body: bytes, encoding: bytes) -> bytes:
    """Undo the content encoding of a body, never producing more than the bound."""
    if encoding in (b"", b"identity"):
        return body
    if encoding != b"gzip":
        raise BodyRefusedError(415, "content encoding must be gzip or identity")
    inflater = zlib.decompressobj(GZIP_WINDOW)
    try:
        decoded = inflater.decompress(body, MAX_DECODED_BYTES + 1)
    except zlib.error as error:
        raise BodyRefusedError(400, "is not valid gzip") from error
    if len(decoded) > MAX_DECODED_BYTES:
        reason = f"is larger than {MAX_DECODED_BYTES} bytes once decompressed"
        raise BodyRefusedError(413, reason)
    if not inflater.eof or inflater.unused_data:
        raise BodyRefusedError(400, "is not one complete gzip stream")
    return decoded


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a receiver that gives *body* once, then what *receive* gives."""
    pending: list[Message] = [
        {"type": "http.request", "body": body, "more_body": False}
    ]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again
