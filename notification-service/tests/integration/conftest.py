import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import orjson
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.messaging.envelope import SINGLE, join
from chassis.messaging.topology import EXCHANGE
from chassis.testing import eventually

SERVICE = "notification-service"


def load_main(rabbitmq_url: str) -> ModuleType:
    """main.py, run anew: it reads the environment when it is imported."""
    spec = spec_from_file_location(f"main_{uuid4().hex}", Path(__file__).parents[2] / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RABBITMQ_URL", rabbitmq_url)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def main(rabbitmq_url: str) -> ModuleType:
    return load_main(rabbitmq_url)


@asynccontextmanager
async def running(main: ModuleType, *, healthy: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole service, which is started as uvicorn starts it."""
    async with (
        main.app.router.lifespan_context(main.app),
        httpx.AsyncClient(transport=httpx.ASGITransport(main.app), base_url="http://notifications") as client,
    ):

        async def is_healthy() -> bool:
            return (await client.get("/health")).status_code == 200

        if healthy:
            await eventually(is_healthy)
        yield client
    if not healthy:
        # A connection that was never made is closed by aio-pika when it is collected, and only a running loop can.
        gc.collect()
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
async def service(main: ModuleType) -> AsyncIterator[httpx.AsyncClient]:
    async with running(main) as client:
        yield client


class World:
    """The other services' end of the wires."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def send(self, routing_key: str, body: bytes, content_type: str | None = SINGLE) -> None:
        exchange = await self._channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(aio_pika.Message(body, content_type=content_type), routing_key)

    async def tell(self, routing_key: str, *events: dict[str, Any]) -> None:
        """The events in one message."""
        body, content_type = join([orjson.dumps(event) for event in events])
        await self.send(routing_key, body, content_type)

    async def delete_queue(self) -> None:
        await self._channel.queue_delete(SERVICE)

    async def dead_letters(self, number: int) -> list[AbstractIncomingMessage]:
        """So many dead letters, once they are there, taken out of their queue."""
        queue = await self._channel.get_queue(f"{SERVICE}.dlq", ensure=False)
        letters: list[AbstractIncomingMessage] = []

        async def all_there() -> bool:
            while (letter := await queue.get(fail=False)) is not None:
                await letter.ack()
                letters.append(letter)
            return len(letters) >= number

        await eventually(all_there)
        return letters


@pytest.fixture(scope="module")
async def world(service: httpx.AsyncClient, rabbitmq_url: str) -> AsyncIterator[World]:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        yield World(await connection.channel(on_return_raises=True))
