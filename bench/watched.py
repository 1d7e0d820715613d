"""What it costs to be watched: the page's server alone, somebody who looks at the page, and traces.

Whoever looks reads the stream of pictures, as a browser does; what a browser does with them, it does elsewhere. Traces
go to somebody who takes them all and keeps none.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

import httpx
from chassis.testing import eventually

from contestants import System, started
from rounds import CONSOLE
from system import Service

WATCHED = ("console", "page", "traces")


@dataclass(frozen=True)
class Watched(System):
    console: Service = field(kw_only=True)

    @property
    def beside_pids(self) -> dict[str, list[int]]:
        return {CONSOLE: [self.console.pid]}


class Looking:
    """Somebody's browser, at the page for as long as it is open."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.following = 0
        """How many pictures came while the page followed the events."""

    async def look(self) -> None:
        async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", f"{self._url}/stream") as pictures:
            async for line in pictures.aiter_lines():
                if line.startswith("data: "):
                    self.following += json.loads(line.removeprefix("data: "))["feed"] == "following"


@asynccontextmanager
async def watched(system: System, logs: Path, *, looked_at: bool) -> AsyncIterator[Watched]:
    """Raises AssertionError at the end if nobody saw what they should have."""
    urls = {f"{name.upper().replace('-', '_')}_URL": of[0].url for name, of in system.services.items()}
    servers = {"DATABASE_URL": system.database_url, "RABBITMQ_URL": system.rabbitmq_url}
    console = Service("console", logs / "console.log", os.environ | urls | servers)
    parts = {part.name: getattr(system, part.name) for part in fields(System)}
    async with started([console]):
        looking = Looking(console.url)
        task = asyncio.create_task(looking.look()) if looked_at else None
        if task:
            await eventually(lambda: looking.following or task.done())
        yield Watched(**parts, console=console)
        if task:
            before = looking.following
            await eventually(lambda: looking.following > before or task.done())
            assert not task.done(), "the page's stream has ended: see console.log"
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@dataclass
class Sink:
    """Whoever takes the traces."""

    url: str = ""
    taken: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
                self.taken += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    found = Sink()
    async with await asyncio.start_server(found.take, "127.0.0.1", 0) as server:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield found
