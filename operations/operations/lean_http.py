"""A client that costs little: a load generator on the machine that it measures must leave the machine to the system.

HTTP/1.1 with keep-alive, JSON bodies and answers with Content-Length (RFC 9112), which is all that our services send.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit


class Connection:
    """One connection, one request at a time; opened at the first request and again after any failure."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """`headers` are sent with each request. `tls` is for whoever shows a certificate, or expects another than the
        host's own."""
        parts = urlsplit(base_url)
        self._tls = (tls or _trust()) if parts.scheme == "https" else None
        self._headers = _lines(headers)
        self._host, self._port = parts.hostname or "localhost", parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The answer's status and body. Raises OSError or EOFError when there is no whole answer."""
        try:
            sent = b"" if body is None else json.dumps(body).encode()
            return await self._exchange(method, path, self._headers + _lines(headers), sent)
        except BaseException:
            self.close()
            raise

    async def _exchange(self, method: str, path: str, more: str, body: bytes) -> tuple[int, bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}{more}Content-Type: application/json\r\n\r\n".encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        answer = await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split(" ", 2)[1]), answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def _lines(headers: Mapping[str, str] | None) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())


@cache
def _trust() -> ssl.SSLContext:
    """The machine's authorities, or that of SSL_CERT_FILE."""
    return ssl.create_default_context()
