"""The whole service in the test's own process, and the other services' end of its wires."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any
from uuid import UUID

import aio_pika
import httpx
import orjson
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.messaging.envelope import BATCH, SINGLE, join
from chassis.messaging.topology import EXCHANGE
from chassis.ports.ids import uuid7
from chassis.testing import eventually
from chassis.testing import running as testing
from chassis.testing.contracts import Contracts

from infrastructure.messages import CONSUMED
from tests.contracts import ROOT

ROUTING_KEYS = {wire.type: wire.routing_key for wire in CONSUMED}
NOWHERE = "localhost:1"
"""An address at which no server answers."""


def load_main(**environment: str) -> ModuleType:
    """main.py, run anew: it reads the environment when it is imported, and twice the same is two replicas."""
    return testing.load_main(ROOT / "order-service", **environment)


@asynccontextmanager
async def running(main: ModuleType, *, healthy: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service, which is started as uvicorn starts it and stopped at the end."""
    async with (
        main.app.router.lifespan_context(main.app),
        httpx.AsyncClient(transport=httpx.ASGITransport(main.app), base_url="http://orders", timeout=30) as client,
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


def fact(name: str, order_id: str, **data: object) -> dict[str, Any]:
    """An event of another service about this order: the example of its contract, with an id of its own."""
    service = f"{ROUTING_KEYS[name].partition('.')[0]}-service"
    event = Contracts(ROOT / service / "contracts").example(name)
    return event | {"id": str(uuid7()), "subject": order_id, "data": event["data"] | {"order_id": order_id, **data}}


class World:
    """Hears what the service publishes and dead-letters, and tells it what other services would."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self.messages: list[AbstractIncomingMessage] = []
        self.dead_letters: list[AbstractIncomingMessage] = []

    async def listen(self) -> None:
        async def heard(message: AbstractIncomingMessage) -> None:
            self.messages.append(message)

        async def died(message: AbstractIncomingMessage) -> None:
            self.dead_letters.append(message)

        queue = await self._channel.declare_queue(exclusive=True)
        await queue.bind(EXCHANGE, "order.*")
        await queue.consume(heard, no_ack=True)
        await (await self._channel.get_queue("order-service.dlq")).consume(died, no_ack=True)

    async def send(self, routing_key: str, body: bytes, content_type: str | None) -> None:
        exchange = await self._channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(Message(body, content_type=content_type), routing_key)

    async def report(self, *events: dict[str, Any]) -> None:
        """Tells the facts, those of one routing key in one message."""
        for name in dict.fromkeys(event["type"] for event in events):
            body, content_type = join([orjson.dumps(event) for event in events if event["type"] == name])
            await self.send(ROUTING_KEYS[name], body, content_type)

    def events(self, order_id: UUID | str) -> list[dict[str, Any]]:
        """What was heard about an order, each time that it was said."""
        return [event for message in self.messages for event in events_of(message) if event["subject"] == str(order_id)]

    def names(self, order_id: UUID | str) -> list[str]:
        return [event["type"] for event in self.events(order_id)]

    def message_of(self, order_id: str, name: str) -> AbstractIncomingMessage:
        """The message that told it first."""
        return next(
            message
            for message in self.messages
            if any((event["subject"], event["type"]) == (order_id, name) for event in events_of(message))
        )

    async def dead_letter(self, body: bytes) -> AbstractIncomingMessage:
        """The dead letter with this body, once it is there."""
        await eventually(lambda: any(message.body == body for message in self.dead_letters))
        return next(message for message in self.dead_letters if message.body == body)


def events_of(message: AbstractIncomingMessage) -> Iterable[dict[str, Any]]:
    document = orjson.loads(message.body)
    assert message.content_type == (BATCH if isinstance(document, list) else SINGLE)
    events: list[dict[str, Any]] = document if isinstance(document, list) else [document]
    return events


@asynccontextmanager
async def world(rabbitmq_url: str) -> AsyncIterator[World]:
    """To be entered once the service has made its queues."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        around = World(await connection.channel(on_return_raises=True))
        await around.listen()
        yield around
