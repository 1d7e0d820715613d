"""RabbitMQ as a bystander sees it: listens to every event, sends messages of its own, asks the management API."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import httpx
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from chassis.messaging.envelope import BATCH, SINGLE
from chassis.messaging.topology import EXCHANGE
from chassis.ports.events import routing_key as key_of

from way import sender

Event = dict[str, Any]


class Bus:
    """One connection of ours to the vhost; use `bus(...)`."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection, channel: AbstractChannel) -> None:
        self._connection = connection
        self.channel = channel

    async def send(
        self,
        body: bytes,
        content_type: str | None = SINGLE,
        *,
        routing_key: str,
        exchange: str = EXCHANGE,
        message_id: str | None = "a message of the tests",
        headers: dict[str, Any] | None = None,
    ) -> None:
        """Publishes the bytes as they are; under a queue's name and the exchange "" they go to that queue alone."""
        message = aio_pika.Message(
            body,
            content_type=content_type,
            message_id=message_id,
            headers=headers,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            user_id=sender(exchange, routing_key),
        )
        target = await self.channel.get_exchange(exchange, ensure=False) if exchange else self.channel.default_exchange
        await target.publish(message, routing_key)

    async def send_events(self, events: Sequence[Event], *, routing_key: str, exchange: str = EXCHANGE) -> None:
        """One event alone, or several of one type as a batch. To a queue alone they go as if they had been published
        before, as a retry or a redrive does."""
        one = len(events) == 1
        await self.send(
            json.dumps(events[0] if one else list(events)).encode(),
            SINGLE if one else BATCH,
            routing_key=routing_key,
            exchange=exchange,
            headers=None if exchange else sent_before(events[0]),
        )

    async def state(self, queue: str, *, absent: tuple[int, int] = (0, 0)) -> tuple[int, int]:
        """How many messages are ready in the queue, and how many consumers it has."""
        channel = await self._connection.channel()
        try:
            found = (await channel.declare_queue(queue, passive=True)).declaration_result
            return found.message_count or 0, found.consumer_count or 0
        except ChannelNotFoundEntity:
            return absent
        finally:
            await channel.close()

    async def take(self, queue: str) -> list[AbstractIncomingMessage]:
        """All that waits in the queue, taken out of it."""
        source = await self.channel.get_queue(queue, ensure=False)
        taken = []
        while (message := await source.get(fail=False)) is not None:
            await message.ack()
            taken.append(message)
        return taken

    @asynccontextmanager
    async def messages(self, routing_key: str = "#") -> AsyncIterator["asyncio.Queue[AbstractIncomingMessage]"]:
        """A copy of every message that is published meanwhile under the key."""
        channel = await self._connection.channel()
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(EXCHANGE, routing_key)
        tag = await queue.consume(arrived.put, no_ack=True)
        try:
            yield arrived
        finally:
            await queue.cancel(tag)
            await channel.close()


@asynccontextmanager
async def bus(rabbitmq_url: str) -> AsyncIterator[Bus]:
    # Without heartbeats: a test that keeps this process busy for minutes (the simulation) would be taken for dead.
    connection = await aio_pika.connect(rabbitmq_url, heartbeat=0, client_properties={"connection_name": "bystander"})
    try:
        yield Bus(connection, await connection.channel(on_return_raises=True))
    finally:
        await connection.close()


def sent_before(event: Event) -> dict[str, Any]:
    """The header of a message that brings such events again."""
    return {"x-routing-key": key_of(event["type"])}


def events_in(message: AbstractIncomingMessage) -> list[Event]:
    """The events of a message, whether it bears one or a batch."""
    document = json.loads(message.body)
    return document if message.content_type == BATCH else [document]


class Listener:
    """Remembers every event by its order."""

    def __init__(self, messages: "asyncio.Queue[AbstractIncomingMessage]") -> None:
        self._messages = messages
        self._by_order: dict[str, dict[str, Event]] = {}

    def events_of(self, order_id: str) -> list[Event]:
        """The order's events so far, each once, in the order in which they came."""
        while not self._messages.empty():
            for event in events_in(self._messages.get_nowait()):
                self._by_order.setdefault(event["subject"], {}).setdefault(event["id"], event)
        return list(self._by_order.get(order_id, {}).values())


class Management:
    """RabbitMQ's management API, for one vhost."""

    def __init__(self, client: httpx.AsyncClient, vhost: str) -> None:
        self._client = client
        self._vhost = vhost

    async def definitions(self) -> Mapping[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = await self._get(f"/api/definitions/{self._vhost}")
        return found

    async def close_connections(self) -> int:
        """Closes the connections of all four services; returns how many there were."""
        closed = 0
        for connection in await self._get(f"/api/vhosts/{self._vhost}/connections"):
            if connection.get("client_properties", {}).get("connection_name") == "bystander":
                continue
            answer = await self._client.delete(f"/api/connections/{connection['name']}")
            closed += answer.status_code == 204
        return closed

    async def unbind(self, queue: str) -> list[str]:
        """Takes the queue's bindings to the exchange of events away; returns their routing keys. The service binds its
        queue again when it connects anew, and once a minute."""
        path = f"/api/bindings/{self._vhost}/e/{EXCHANGE}/q/{queue}"
        keys = []
        for binding in await self._get(path):
            (await self._client.delete(f"{path}/{binding['properties_key']}")).raise_for_status()
            keys.append(binding["routing_key"])
        return keys

    async def bind(self, queue: str, routing_keys: Sequence[str]) -> None:
        path = f"/api/bindings/{self._vhost}/e/{EXCHANGE}/q/{queue}"
        for routing_key in routing_keys:
            (await self._client.post(path, json={"routing_key": routing_key})).raise_for_status()

    async def _get(self, path: str) -> Any:
        answer = await self._client.get(path)
        answer.raise_for_status()
        return answer.json()
