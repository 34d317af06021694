"""Connections whose requests and answers end in time.

A socket's timeout is for one operation, and a slow exchange is many: one address after
another that does not answer, a request that is taken a byte at a time, an answer that
comes so. Here the timeout that urllib3 sets is for all that follows together, and
`Until` is the same moment whenever urllib3 asks.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import queue
import socket
import time
from collections import deque
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_PIECE_BYTES = 16 * 1024
# To a socket, none at all would mean not to wait but to fail at once.
_SHORTEST_SECONDS = 0.001


class Until(urllib3.Timeout):
    """The time that is left for a request, however many steps it takes.

    Args:
        deadline: When it has to be over, in monotonic seconds.
    """

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def clone(self) -> Until:
        """Return the same: a second step gets no time of its own."""
        return self

    def start_connect(self) -> float:
        """Do nothing: the time has begun."""
        return time.monotonic()

    @property
    def connect_timeout(self) -> float:
        """Seconds left."""
        return max(_SHORTEST_SECONDS, self._deadline - time.monotonic())

    read_timeout = connect_timeout


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


class _Punctual(HTTPConnection):
    """Makes one deadline of the timeout that it is given, from that moment on."""

    response_class = _Response
    _ends_at: float | None = None

    @property
    def timeout(self) -> Any:
        """Seconds left."""
        if self._ends_at is None:
            return None
        return max(_SHORTEST_SECONDS, self._ends_at - time.monotonic())

    @timeout.setter
    def timeout(self, seconds: Any) -> None:
        is_bounded = isinstance(seconds, (int, float))
        self._ends_at = time.monotonic() + seconds if is_bounded else None

    def _new_conn(self) -> socket.socket:
        host = self._dns_host.strip("[]")
        found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        for remaining in range(len(found), 0, -1):
            family, kind, protocol, _, address = found[-remaining]
            connected = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    connected.setsockopt(*option)
                # The later addresses get their share: the first may not exist.
                connected.settimeout(self.timeout and self.timeout / remaining)
                connected.connect(address)
            except BaseException as error:
                connected.close()
                if remaining == 1 or not isinstance(error, OSError):
                    raise
            else:
                connected.settimeout(self.timeout)
                return connected
        raise OSError(f"{host} has no address")

    def _tunnel(self) -> None:
        super()._tunnel()
        self.sock.settimeout(self.timeout)

    def send(self, data: Any) -> None:
        """Send *data* within the time that is left."""
        if not isinstance(data, (bytes, bytearray)):
            super().send(data)
            return
        for start in range(0, len(data), _PIECE_BYTES):
            if self._ends_at is not None and time.monotonic() >= self._ends_at:
                raise socket.timeout("timed out")
            if self.sock is not None:
                self.sock.settimeout(self.timeout)
            super().send(memoryview(data)[start : start + _PIECE_BYTES])


class _Connection(_Punctual):
    """Without encryption."""


class _TLSConnection(_Punctual, HTTPSConnection):
    """With it."""


class _Stack:
    """What a pool keeps its connections in. Never waits.

    `queue.LifoQueue` has locks, which a signal handler that raises something at a bad
    moment leaves held: no later request would end, and no deadline would help.
    """

    def __init__(self, maxsize: int) -> None:
        self._room = maxsize
        self._items: deque[Any] = deque()

    def get(self, *_: Any, **__: Any) -> Any:
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, item: Any, *_: Any, **__: Any) -> None:
        if len(self._items) >= self._room:
            raise queue.Full
        self._items.append(item)

    def qsize(self) -> int:
        return len(self._items)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
    QueueCls: Any = _Stack


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection
    QueueCls: Any = _Stack


POOL_CLASSES = {"http": _Pool, "https": _TLSPool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""
