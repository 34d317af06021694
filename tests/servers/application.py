"""The application that every server test runs, as its user would write it.

No code for forks: the client is started at import, and that is all.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from typing import TYPE_CHECKING, Any

from liteguard import LiteguardClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


GUARD = os.environ["GUARD"]

client = LiteguardClient()
client.start()
if os.environ.get("CHECKS_AT_IMPORT"):
    for _ in range(int(os.environ["CHECKS_AT_IMPORT"])):
        client.is_open(GUARD)


def answer(path: str) -> dict[str, Any]:
    """Return what a request is answered with; ``/check`` makes one check."""
    told: dict[str, Any] = {"pid": os.getpid(), "parent": os.getppid()}
    if path == "/check":
        told["open"] = client.is_open(GUARD)
    elif path == "/stuck":
        # Blocks the thread whatever is monkey-patched, and holds no lock of Python.
        ctypes.CDLL(None).sleep(60)
    status = client.status()
    told["role"] = status.role
    told["generation"] = status.generation
    told["state_dir"] = status.state_dir
    told["last_error"] = status.last_error
    told["uid"] = os.geteuid()
    told["threads"] = sorted(thread.name for thread in threading.enumerate())
    return told


def app(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[bytes]:
    """Answer over WSGI."""
    body = json.dumps(answer(environ["PATH_INFO"])).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer over ASGI."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = json.dumps(answer(scope["path"])).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
