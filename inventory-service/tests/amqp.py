"""The exchange as a neighbour sees it: what is sent to the service, and what comes out of it."""

from collections.abc import Mapping
from typing import Any, Self
from uuid import UUID, uuid4

import aio_pika
import orjson
from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from chassis.messaging.envelope import BATCH, SINGLE
from chassis.messaging.topology import EXCHANGE

from tests.messages import TRACEPARENT


def cloud_event(name: str, data: Mapping[str, object], *, event_id: UUID | None = None) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": str(event_id or uuid4()),
        "type": name,
        "source": "order-service",
        "subject": str(data["order_id"]),
        "traceparent": TRACEPARENT,
        "data": data,
    }


class Wire:
    """A connection with a queue of its own on the exchange, that takes the events of `routing_key`."""

    def __init__(self, url: str, routing_key: str) -> None:
        self._url = url
        self._routing_key = routing_key
        self._exchange: AbstractExchange
        self.seen: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        self._connection = await aio_pika.connect(self._url)
        self._channel = await self._connection.channel(on_return_raises=True)
        self._exchange = await self._channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        queue = await self._channel.declare_queue(exclusive=True)
        await queue.bind(self._exchange, self._routing_key)
        await queue.consume(self._note, no_ack=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def _note(self, message: AbstractIncomingMessage) -> None:
        content = orjson.loads(message.body)
        self.seen += content if message.content_type == BATCH else [content]

    async def send(self, routing_key: str, *events: object) -> None:
        """One message, as a service would make it: a batch if there are several events."""
        body = orjson.dumps(events[0] if len(events) == 1 else list(events), default=str)
        await self.send_raw(routing_key, body, SINGLE if len(events) == 1 else BATCH)

    async def send_raw(self, routing_key: str, body: bytes, content_type: str | None) -> None:
        await self._exchange.publish(Message(body, content_type=content_type), routing_key)

    def of_order(self, order_id: UUID) -> list[dict[str, Any]]:
        return [event for event in self.seen if event["subject"] == str(order_id)]

    def types(self, order_id: UUID) -> list[str]:
        return [event["type"] for event in self.of_order(order_id)]

    async def take_dead_letter(self, service: str) -> AbstractIncomingMessage | None:
        queue = await self._channel.get_queue(f"{service}.dlq", ensure=False)
        return await queue.get(no_ack=True, fail=False)
