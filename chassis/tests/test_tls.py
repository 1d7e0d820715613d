"""TLS to the servers: a service talks to a server whose certificate its own authority signed, and to no other."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chassis.messaging import broker as broker_module
from chassis.messaging.broker import Broker
from chassis.messaging.topology import Queue
from chassis.ports.errors import Unavailable
from chassis.postgres.database import Database
from chassis.testing import eventually
from sqlalchemy import text
from structlog.testing import CapturingLogger

SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.certificate, self._key = folder / "ca.crt", folder / "ca.key"
        self._make_key(self._key)
        extension = ("-addext", "keyUsage=critical,keyCertSign")
        openssl("req", "-x509", "-subj", "/CN=authority", *extension, "-key", self._key, "-out", self.certificate)

    def _make_key(self, file: Path) -> None:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file)

    def certify(self, name: str) -> ssl.SSLContext:
        """What a server of that name has."""
        key, request, extension, certificate = (
            self._folder / f"{name}.{kind}" for kind in ("key", "csr", "ext", "crt")
        )
        self._make_key(key)
        extension.write_text(f"subjectAltName=DNS:{name}\nauthorityKeyIdentifier=keyid\n")
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        signed = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-extfile", extension)
        openssl("x509", "-req", "-in", request, *signed, "-out", certificate)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


class Terminator:
    """Ends the TLS before a real server. `context` has its certificate, which may be renewed."""

    def __init__(self, url: str, default_port: int, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port or default_port
        self._asks_first = url.startswith("postgresql")
        self.context = context

    @asynccontextmanager
    async def listening(self, url: str) -> AsyncIterator[str]:
        """The URL's way to the server through this."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        parts = urlsplit(url)
        try:
            yield parts._replace(netloc=f"{parts.username}:{parts.password}@localhost:{port}").geturl()
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if self._asks_first:
                assert await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST
                writer.write(b"S")
                await writer.drain()
            await writer.start_tls(self.context)
            there, onward = await asyncio.open_connection(*self._address)
            await asyncio.gather(pass_on(reader, onward), pass_on(there, writer))
        writer.close()


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    finally:
        target.close()


@pytest.fixture
def another(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "another")


async def test_the_database_is_taken_only_with_a_certificate_of_our_authority_under_its_own_name(
    database_url: str, ours: Authority, another: Authority
) -> None:
    server = Terminator(database_url, 5432, ours.certify("localhost"))
    async with server.listening(database_url) as way:
        url = f"{way}?sslmode=verify-full&sslrootcert={ours.certificate}"
        database = Database(lambda: url, pool_size=1, service="a-service", schema="public")

        async def answer() -> int:
            async with database.autocommit() as connection:
                return int((await connection.execute(text("SELECT 1"))).scalar_one())

        assert await answer() == 1
        for context in (another.certify("localhost"), ours.certify("elsewhere")):
            server.context = context
            database.distrust()
            with pytest.raises(Unavailable, match="certificate verify failed"):
                await answer()

        ours.certificate.write_bytes(another.certificate.read_bytes())
        server.context = another.certify("localhost")
        assert await answer() == 1, "what it trusts is read anew"
        await database.stop()


def says(log: CapturingLogger, words: str) -> bool:
    return words in str(log.calls)


async def test_the_broker_is_taken_only_with_a_certificate_of_our_authority_under_its_own_name(
    rabbitmq_url: str, ours: Authority, another: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Terminator(rabbitmq_url, 5672, ours.certify("localhost"))
    async with server.listening(rabbitmq_url) as way:
        url = f"{way.replace('amqp://', 'amqps://')}?cafile={ours.certificate}"
        for context in (another.certify("localhost"), ours.certify("elsewhere")):
            server.context = context
            refusing = Broker(lambda: url, Queue("a-service", []))
            log = CapturingLogger()
            monkeypatch.setattr(broker_module, "log", log)
            await refusing.start()
            await eventually(partial(says, log, "certificate verify failed"))
            assert not refusing.connected
            await refusing.stop()

        server.context = ours.certify("localhost")
        broker = Broker(lambda: url, Queue("a-service", []))
        await broker.start()
        await eventually(lambda: broker.connected)
        await broker.stop()
