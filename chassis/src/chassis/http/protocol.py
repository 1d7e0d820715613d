"""uvicorn's HTTP protocol with bounded headers (httptools collects 20 MiB), and certificates renewed without a restart.

uvicorn main:app --http chassis.http.protocol:BoundedProtocol
"""

import os
import ssl
from typing import Any

import structlog
from uvicorn.config import Config, create_ssl_context
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024

log = structlog.get_logger()


class _NewestCertificate:
    """Called at each handshake. Unusable files, such as a certificate whose key isn't written yet, change nothing."""

    def __init__(self, config: Config) -> None:
        self._config, self._context = config, config.ssl
        self._seen: list[tuple[int, int] | None] = []  # the files may be newer than what the server has begun with

    def __call__(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if (versions := self._versions()) != self._seen:
            self._seen = versions
            try:
                self._context = self._load()
                log.info("certificate renewed", file=str(self._config.ssl_certfile))
            except OSError as error:
                log.warning("the certificate can't be renewed: the old one goes on", reason=str(error))
        if self._context is not None:
            connection.context = self._context

    def _versions(self) -> list[tuple[int, int] | None]:
        found: list[tuple[int, int] | None] = []
        for file in (self._config.ssl_certfile, self._config.ssl_keyfile, self._config.ssl_ca_certs):
            try:
                at = os.stat(file) if file else None
            except OSError:
                at = None
            found.append(at and (at.st_mtime_ns, at.st_ino))
        return found

    def _load(self) -> ssl.SSLContext:
        config = self._config
        return create_ssl_context(
            certfile=str(config.ssl_certfile),
            keyfile=config.ssl_keyfile,
            password=config.ssl_keyfile_password,
            ssl_version=config.ssl_version,
            cert_reqs=config.ssl_cert_reqs,
            ca_certs=config.ssl_ca_certs,
            ciphers=config.ssl_ciphers,
        )


class BoundedProtocol(HttpToolsProtocol):
    """Answers 400 and hangs up beyond the bounds. The edge is stricter; this is for whoever comes past it."""

    _pending_bytes = 0
    """Received since a body's bytes or a message's begin or end: of headers or trailers that aren't complete yet."""

    def __init__(self, config: Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        if config.ssl is not None and config.ssl.sni_callback is None:  # made before a connection's handshake
            config.ssl.sni_callback = _NewestCertificate(config)

    def data_received(self, data: bytes) -> None:
        self._pending_bytes += len(data)
        super().data_received(data)
        if self._pending_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers exceed {MAX_HEADER_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._pending_bytes = 0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._pending_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._pending_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) == MAX_HEADERS:
            raise ValueError("too many headers")  # the parser stops, and uvicorn answers 400
        super().on_header(name, value)
