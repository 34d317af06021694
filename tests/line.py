"""A connection to the backend that a test can cut, stall and restore."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Coroutine

_BLOCK_BYTES = 64 * 1024
_CALL_SECONDS = 15.0


class Line:
    """Forwards a port of its own to the backend while the ``with`` block runs.

    Args:
        backend_url: Where to forward to.
    """

    def __init__(self, backend_url: str) -> None:
        parts = urlsplit(backend_url)
        self._target = (parts.hostname, parts.port)
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: Optional[asyncio.base_events.Server] = None
        self._connections: set[asyncio.Task[Any]] = set()
        self._flows: Optional[asyncio.Event] = None
        self.asked = threading.Event()
        """Set when bytes came that were not forwarded because the line is stalled."""

    def __enter__(self) -> Line:
        """Start forwarding."""
        self._thread.start()
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The address that clients are given."""
        return f"http://127.0.0.1:{self._port}"

    def cut(self) -> None:
        """Close all connections and refuse new ones."""
        self._call(self._cut())

    def stall(self) -> None:
        """Take requests and answer nothing, until `restore`."""
        self.asked.clear()
        self._call(self._stall())

    def restore(self) -> None:
        """Forward again, what was held back first."""
        self._call(self._restore())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    async def _stall(self) -> None:
        self._gate().clear()

    def _gate(self) -> asyncio.Event:
        # Made in its loop: Python 3.9 binds an event to the loop of its maker.
        self._flows = self._flows or asyncio.Event()
        return self._flows

    async def _restore(self) -> None:
        self._gate().set()
        if self._server is None:
            self._server = await asyncio.start_server(
                self._connected, "127.0.0.1", self._port
            )
            self._port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        far_writer: Optional[asyncio.StreamWriter] = None
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(
                    self._forward(reader, far_writer), self._forward(far_reader, writer)
                )
        except asyncio.CancelledError:
            # Ending quietly: the stream's own callback complains of cancelled tasks.
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            if far_writer is not None:
                far_writer.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while block := await reader.read(_BLOCK_BYTES):
            if not self._gate().is_set():
                self.asked.set()
                await self._gate().wait()
            writer.write(block)
            await writer.drain()
        writer.close()
