"""A stand-in for a replica of a service that misbehaves when told to, and notes what reaches it."""

import asyncio
import socket
import ssl
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from system import free_port

READY = "/health/ready"


@dataclass(frozen=True, slots=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


class Replica:
    """An HTTP/1.1 server on 127.0.0.1 that answers with its own name, `X-Replica`."""

    def __init__(self, name: str = "replica", tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self._tls = tls
        self.port = free_port()
        self.seen: list[Seen] = []
        """Requests that arrived whole, without those for its health."""
        self.status = 200
        self.ready = True
        self.dies = ""
        """What it does instead of an answer: "close" or "reset" the connection, or be "silent"."""
        self.held: asyncio.Event | None = None
        """Until it is set, no request is answered."""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the edge has closed, or the test is over
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await _body(reader, headers)
        method, path, _ = first.split(" ")
        status = self.status
        if path == READY:
            status = 200 if self.ready else 503
        else:
            self.seen.append(Seen(method, path, headers, body))
            if self.held is not None:
                await self.held.wait()
            if self.dies == "silent":
                await asyncio.Event().wait()
            if self.dies:
                if self.dies == "reset":
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
        text = self.name.encode()
        answer = (
            f"HTTP/1.1 {status} \r\nServer: secret\r\nX-Replica: {self.name}\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        writer.write(answer.encode() + text)
        await writer.drain()
        return True


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while length := int(await reader.readline(), 16):
        body += await reader.readexactly(length)
        await reader.readline()
    await reader.readline()
    return body
