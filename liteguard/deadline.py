"""Connections whose answers end in time.

A socket's timeout is for one read, and a slow answer is many: a byte now and then
would keep a thread for hours. Here the timeout that urllib3 sets before it waits for an
answer is for all of it, from the first byte of the first header on.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _UntilDeadline(io.RawIOBase):
    """Reads from a socket until its timeout, as it was at first, is used up."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._timeout = connected.gettimeout()
        self._began_at = time.monotonic()
        self._raw = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._timeout is None:
            return self._raw.readinto(buffer)
        left = self._began_at + self._timeout - time.monotonic()
        if left <= 0.0:
            raise socket.timeout("timed out")
        self._socket.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            # The next request on this connection begins with its own.
            with contextlib.suppress(OSError):
                self._socket.settimeout(self._timeout)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_UntilDeadline(sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _TLSConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOL_CLASSES = {"http": _Pool, "https": _TLSPool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""
