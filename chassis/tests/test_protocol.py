"""Headers without end, sent to uvicorn as the services run it."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from chassis.http.protocol import MAX_HEADER_BYTES, MAX_HEADERS, BoundedProtocol
from chassis.testing import eventually
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

START = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
END = b"\r\n\r\n"


async def answer(_: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Transport(asyncio.Transport):
    """Keeps what is written to it."""

    written = b""
    closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(answer, http=BoundedProtocol, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        await eventually(lambda: server.started)
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


async def answers(port: int, pieces: list[bytes]) -> tuple[bytes, int]:
    """The status lines of the answers, and how many bytes were taken before the server hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = 0
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
            taken += len(piece)
        writer.write_eof()
        answer = await reader.read()
    except ConnectionError:
        answer = b"HTTP/1.1 400 "
    finally:
        writer.transport.abort()
    return b" ".join(line.split()[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")), taken


async def test_headers_within_the_bounds_are_taken_one_request_after_another(port: int) -> None:
    headers = b"\r\n".join(b"X-%d: a" % number for number in range(MAX_HEADERS - 1))
    assert (await answers(port, [START + headers + END] * 3))[0] == b"200 200 200"


async def test_each_request_is_counted_anew_and_without_its_body() -> None:
    """By the pieces in which a network may bring them."""
    config = uvicorn.Config(answer, http=BoundedProtocol, lifespan="off", log_level="critical")
    protocol, transport = BoundedProtocol(config, ServerState(), {}), Transport()
    protocol.connection_made(transport)
    half = b"a" * (MAX_HEADER_BYTES // 2)
    for number in range(1, 4):
        for piece in (START, b"X-Long: " + half, b"\r\nContent-Length: 200000" + END, *[b"a" * 50_000] * 4):
            protocol.data_received(piece)

        async def answered(number: int = number) -> bool:
            return transport.written.count(b"200") == number

        await eventually(answered)
    for piece in (START, b"X-Long: " + half, half):
        assert not transport.is_closing()
        protocol.data_received(piece)
    assert transport.is_closing()


async def test_one_header_too_many_is_refused(port: int) -> None:
    headers = b"\r\n".join(b"X-%d: a" % number for number in range(MAX_HEADERS))
    assert (await answers(port, [START + headers + END]))[0] == b"400"


@pytest.mark.parametrize("start", [START + b"X-Long: ", b"GET /"], ids=["header", "path"])
async def test_an_endless_header_is_cut(port: int, start: bytes) -> None:
    status, taken = await answers(port, [start] + [b"a" * 16_384] * 1280)
    assert status == b"400"
    assert taken < 10_000_000, "the rest of the 20 MiB was in nobody's memory, or in the kernel's"


async def test_endless_trailers_are_cut(port: int) -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Long: "
    _, taken = await answers(port, [chunked] + [b"a" * 16_384] * 1280)
    assert taken < 10_000_000


async def test_a_long_body_is_no_header(port: int) -> None:
    pieces = [b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"] + [b"a" * 16_384] * 64
    status, taken = await answers(port, pieces)
    assert (status, taken) == (b"200", len(b"".join(pieces)))
