"""The web page: static files, and headers that keep browsers to them."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER = Path(__file__).parent / "assets"
ADDRESSES = ("/", "/guard", "/monitor", "/processes", "/setup")
"""Where the page can be entered; its script shows what belongs there."""

_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


def install_page(app: FastAPI) -> None:
    """Have *app* serve the page."""
    # The system's own list may call it something that browsers refuse to run.
    mimetypes.add_type("text/javascript", ".js")
    document = (FOLDER / "index.html").read_text("utf-8")

    async def show_page() -> HTMLResponse:
        return HTMLResponse(document)

    for address in ADDRESSES:
        app.add_api_route(address, show_page, include_in_schema=False)
    app.mount("/assets", StaticFiles(directory=FOLDER))
    app.add_middleware(GuardedHeaders, policy=content_policy(document))


def content_policy(document: str) -> str:
    """Return a policy under which a browser runs only the scripts of this server."""
    found = _IMPORT_MAP.search(document)
    import_map = found.group(1) if found else ""
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


class GuardedHeaders:
    """Middleware that adds headers to every answer.

    Args:
        app: The application behind.
        policy: The content security policy.
    """

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, self._adding(scope["path"], send))

    def _adding(self, path: str, send: Send) -> Callable[[Message], Awaitable[None]]:
        # Browsers may keep the files, and ask each time whether they are still good.
        caching = b"no-store" if path.startswith("/manage/") else b"no-cache"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [*self._headers, (b"cache-control", caching)]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        return send_with_headers
