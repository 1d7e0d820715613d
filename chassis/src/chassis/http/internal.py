"""Production's own port for health and metrics: not for callers, and no load of theirs keeps it from answering."""

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from chassis.ports.errors import Unavailable
from starlette.types import ASGIApp

MAX_CONNECTIONS = 20
"""More are answered 503: whoever watches asks seldom, and each question may take a connection of the pool."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the server that serves the callers."""
        yield


class InternalServer:
    def __init__(self, app: ASGIApp, address: str) -> None:
        """`address` is host:port."""
        host, _, port = address.rpartition(":")
        self._address = address
        self._server = _Server(
            uvicorn.Config(
                app,
                host=host.strip("[]"),
                port=int(port),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                limit_concurrency=MAX_CONNECTIONS,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises Unavailable if the address is taken."""
        self._serving = asyncio.create_task(self._serve(), name="internal server")
        while not self._server.started:
            if self._serving.done():
                raise Unavailable(f"nothing can be served at {self._address}: is it taken?")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving

    async def _serve(self) -> None:
        with contextlib.suppress(SystemExit):  # uvicorn ends so where it can't bind, after a line in the log
            await self._server.serve()
