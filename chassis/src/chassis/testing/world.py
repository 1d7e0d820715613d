"""The world around one service on a real broker: the test hears what the service says, and plays the other services."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import aio_pika
import orjson
from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.messaging.envelope import BATCH, SINGLE, join
from chassis.messaging.topology import EXCHANGE
from chassis.ports.events import routing_key
from chassis.testing import eventually


async def make_reader(rabbitmq_url: str, says: str) -> None:
    """Declares a queue for what the service says, as the other services have one: events that no queue takes would stay
    in the outbox, which is then unhealthy."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        await (await channel.declare_queue("another-service", durable=True)).bind(exchange, says)


class World:
    """Hears what the service publishes and dead-letters, and tells it what other services would."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self.messages: list[AbstractIncomingMessage] = []
        self.dead_letters: list[AbstractIncomingMessage] = []

    async def listen(self, service: str, says: str) -> None:
        async def heard(message: AbstractIncomingMessage) -> None:
            self.messages.append(message)

        async def died(message: AbstractIncomingMessage) -> None:
            self.dead_letters.append(message)

        queue = await self._channel.declare_queue(exclusive=True)
        await queue.bind(EXCHANGE, says)
        await queue.consume(heard, no_ack=True)
        await (await self._channel.get_queue(f"{service}.dlq")).consume(died, no_ack=True)

    async def send(self, key: str, body: bytes, content_type: str | None) -> None:
        exchange = await self._channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(Message(body, content_type=content_type), key)

    async def report(self, *events: dict[str, Any]) -> None:
        """Tells the facts, those of one routing key in one message."""
        for name in dict.fromkeys(event["type"] for event in events):
            body, content_type = join([orjson.dumps(event) for event in events if event["type"] == name])
            await self.send(routing_key(name), body, content_type)

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
async def world(rabbitmq_url: str, service: str, says: str) -> AsyncIterator[World]:
    """Hears the events under the routing keys `says`. Enter it once the service has declared its queues."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        around = World(await connection.channel(on_return_raises=True))
        await around.listen(service, says)
        yield around
