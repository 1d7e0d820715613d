"""An edge before stand-ins of all replicas: two of the order service, one of each other and of the page."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from chassis.testing import eventually

from attacks.edge import PAGE, Edge, running_edge
from attacks.replica import Replica
from operations.addresses import SERVICES


class House:
    def __init__(self, edge: Edge, replicas: dict[str, list[Replica]]) -> None:
        self.edge = edge
        self.replicas = replicas
        self.first, self.second = replicas["order-service"]

    @property
    def seen(self) -> list[tuple[str, str]]:
        """What has reached the order service's replicas."""
        return [(seen.method, seen.path) for replica in (self.first, self.second) for seen in replica.seen]

    async def up(self, *numbers: str) -> None:
        """Returns once these replicas of the order service, and no others, get requests."""

        async def up() -> bool:
            return await self.edge.up("order-service") == set(numbers)

        await eventually(up, seconds=20)

    async def connect(self, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises OSError (ssl.SSLError is one) if the edge refuses."""
        return await asyncio.open_connection(
            "127.0.0.1", self.edge.port, ssl=self.edge.tls(), server_hostname="localhost", local_addr=(source, 0)
        )

    async def raw(self, data: bytes, *, source: str = "127.0.0.1") -> bytes:
        """What the edge answers to these bytes first; nothing if it hangs up."""
        answer = b""
        reader, writer = await self.connect(source)
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(30):
                while not answer.endswith(b"\r\n\r\n") and (piece := await reader.readline()):
                    answer += piece
                head = answer.lower()
                length = int(head.partition(b"content-length: ")[2].split(b"\r")[0] or 0)
                return answer + await reader.readexactly(length)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            return answer
        finally:
            writer.transport.abort()


@asynccontextmanager
async def open_house(folder: Path, **settings: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        replicas: dict[str, list[Replica]] = {}
        for service in (*SERVICES, PAGE):
            for number in range(1, 3 if service == "order-service" else 2):
                replica = await stack.enter_async_context(Replica(f"{service}-{number}"))
                replicas.setdefault(service, []).append(replica)
        ports = {service: [replica.port for replica in those] for service, those in replicas.items()}
        edge = await stack.enter_async_context(running_edge(folder, ports, **settings))
        house = House(edge, replicas)
        await house.up("1", "2")
        yield house
