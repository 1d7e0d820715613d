"""A service's certificate is replaced on disk while it serves. Clients have to show theirs all the while."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from chassis.http.protocol import BoundedProtocol
from chassis.testing import eventually
from starlette.types import Receive, Scope, Send

MAKE_CERTIFICATES = Path(__file__).resolve().parents[2] / "deploy" / "tls" / "make-certificates"


async def answer(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def make_certificates(folder: Path) -> None:
    subprocess.run([MAKE_CERTIFICATES, folder, "service,localhost", "client"], check=True, timeout=30)


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    make_certificates(tmp_path)
    config = uvicorn.Config(
        answer,
        http=BoundedProtocol,
        lifespan="off",
        log_level="critical",
        ssl_certfile=tmp_path / "service.crt",
        ssl_keyfile=tmp_path / "service.key",
        ssl_ca_certs=str(tmp_path / "ca.crt"),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        await eventually(lambda: server.started)
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


@asynccontextmanager
async def connected(
    port: int, folder: Path, *, certificate: str = "client"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if certificate:
        context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return b" 200 " in await reader.readuntil(b"\r\n\r\n")


async def serial(port: int, folder: Path) -> str:
    """Of the certificate that a new connection is shown, once it has been answered."""
    async with connected(port, folder) as (reader, writer):
        assert await answers(reader, writer)
        number: str = writer.get_extra_info("peercert")["serialNumber"]
        return number


async def test_the_next_connection_is_shown_the_new_certificate_and_open_ones_go_on(port: int, tmp_path: Path) -> None:
    async with connected(port, tmp_path) as (reader, writer):
        seen = {await serial(port, tmp_path)}
        for number in range(2, 4):
            make_certificates(tmp_path)
            seen.add(await serial(port, tmp_path))
            assert len(seen) == number
            assert await answers(reader, writer)


async def test_a_key_without_its_certificate_changes_nothing(port: int, tmp_path: Path) -> None:
    first = await serial(port, tmp_path)
    make_certificates(tmp_path / "next")
    shutil.copy(tmp_path / "next" / "service.key", tmp_path / "service.key")
    for _ in range(2):
        assert await serial(port, tmp_path) == first
    (tmp_path / "service.key").unlink()
    assert await serial(port, tmp_path) == first
    make_certificates(tmp_path)
    assert await serial(port, tmp_path) != first


async def test_clients_still_need_a_certificate(port: int, tmp_path: Path) -> None:
    for _ in range(2):
        async with connected(port, tmp_path, certificate="") as (reader, writer):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await answers(reader, writer)
        make_certificates(tmp_path)


async def test_clients_of_a_new_authority_are_believed_instead_of_the_old_one_s(port: int, tmp_path: Path) -> None:
    client, other = tmp_path / "client", tmp_path / "other"
    make_certificates(other)
    assert await serial(port, tmp_path)
    shutil.copytree(tmp_path, client, ignore=shutil.ignore_patterns("other"))
    shutil.copy(other / "ca.crt", tmp_path)
    async with connected(port, client) as (reader, writer):
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await answers(reader, writer)
    for kind in ("crt", "key"):
        shutil.copy(other / f"client.{kind}", client)
    assert await serial(port, client)
