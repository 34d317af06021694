"""A web application that looks once for each request; the client is made at import."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from looker import Looker
from settings import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

looker = Looker(told())


def app(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[bytes]:
    """Answer over WSGI; ``/check`` looks."""
    if environ["PATH_INFO"] == "/check":
        looker.look()
    body = json.dumps({"pid": os.getpid()}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
