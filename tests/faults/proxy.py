"""A TCP link to PostgreSQL that can be slow, hang or break."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Link:
    """Forwards 127.0.0.1:`port` to a server's unix socket, in a separate thread."""

    def __init__(self, url: str) -> None:
        self._behind = sa.make_url(url)
        self._socket = f"{self._behind.query['host']}/.s.PGSQL.{self._behind.port or 5432}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._flows = asyncio.Event()
        self._delay = 0.0
        self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Return the store URL that leads over this link."""
        over = self._behind.set(host="127.0.0.1", port=self.port).difference_update_query(["host"])
        return over.render_as_string(hide_password=False)

    def slow(self, seconds: float) -> None:
        """Delay all data, in both directions."""
        self._delay = seconds

    def hang(self) -> None:
        """Accept data and deliver nothing, like a server whose disk has stopped."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """Deliver again, starting with the data that waited."""
        self._refuses = False
        self._loop.call_soon_threadsafe(self._flows.set)

    def reset(self) -> None:
        """Break every connection, as a restarted firewall does."""
        self._do(self._abort())

    def refuse(self) -> None:
        """Break every connection, and every new one until `flow`."""
        self._refuses = True
        self.reset()

    def altered(self, piece: bytes) -> bytes:
        """Return the bytes to pass on for the bytes that arrived."""
        return piece

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _close(self) -> None:
        self._server.close()
        await self._abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refuses:
            writer.transport.abort()
            return
        there, back = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, back}
        for source, target in ((reader, back), (there, writer)):
            task = self._loop.create_task(self._forward(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                await asyncio.sleep(self._delay)
                await self._flows.wait()
                target.write(self.altered(piece))
                await target.drain()
        target.close()
