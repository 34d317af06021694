"""One HTTP request over a connection of its own, with JSON both ways.

The standard library's client, because nothing may come between: no proxy, no pool and
above all no retry, or a check would be made that nobody counted.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, Optional

TIMEOUT_SECONDS = 10.0
_SUCCESS = range(200, 300)


class CallError(Exception):
    """A request that was not answered as it should be.

    Args:
        reason: What happened.
        was_sent: Whether the server may have acted on it.
    """

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent


def call(address: str, method: str, path: str, document: Any = None) -> Any:
    """Send a request and return the decoded answer.

    Blocks for at most `TIMEOUT_SECONDS` at each step of the connection.

    Args:
        address: Host and port.
        method: HTTP method.
        path: Path and query.
        document: The body, if there is one.

    Raises:
        CallError: There was no answer, or none that tells of success.
    """
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    try:
        _connect(connection)
        return _exchange(connection, method, path, document)
    finally:
        connection.close()


def _connect(connection: http.client.HTTPConnection) -> None:
    try:
        connection.connect()
    except OSError as error:
        raise CallError(f"no connection: {error}", was_sent=False) from error


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, document: Any
) -> Any:
    body: Optional[bytes] = None if document is None else json.dumps(document).encode()
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status not in _SUCCESS:
            raise CallError(f"{response.status} {text.decode()}", was_sent=True)
        return json.loads(text) if text else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CallError(repr(error), was_sent=True) from error
