"""A TCP proxy that can be cut, refused, silenced or slowed down: a network that fails when we say so, without touching
a server that others use."""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Forwards 127.0.0.1:`port` to the server that the URL names."""

    def __init__(self, target_url: str, *, default_port: int) -> None:
        parts = urlsplit(target_url)
        self._host, self._target_port = parts.hostname or "localhost", parts.port or default_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self.delay_seconds = 0.0
        """How long everything takes to come through."""
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def cut(self) -> None:
        """Ends every connection, once; new ones are let through."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def take_away(self) -> None:
        """From now on it is as if the server were down: every connection ends, and new ones end at once."""
        self._refusing = True
        await self.cut()

    def silence(self) -> None:
        """From now on nothing comes through and nothing is closed: a dead link, which only a time-out can tell."""
        self._open.clear()

    def restore(self) -> None:
        """The server is back."""
        self._refusing = False
        self._open.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            await self._open.wait()
            if self._refusing:
                return
            answers, upstream = await asyncio.open_connection(self._host, self._target_port)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pump(reader, upstream))
                directions.create_task(self._pump(answers, writer))
        except* (OSError, _Closed):
            pass
        except* asyncio.CancelledError:  # we were cut: the streams' own callback would log the cancellation
            pass
        finally:
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()
            self._connections.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(64 * 1024):
            await asyncio.sleep(self.delay_seconds)
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise _Closed


class _Closed(Exception):
    """One end has closed, so the other one is to be closed too."""
