"""What breaks on purpose, in development: by the services' own routes for it, and by the broker."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import httpx
import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel
from chassis.messaging.envelope import SINGLE
from chassis.messaging.topology import EXCHANGE
from chassis.ports.errors import Unavailable, reason_of
from chassis.ports.events import routing_key

from application.events import PAYMENT
from application.ports import Refused
from infrastructure.services import addresses

_POISON = b"this is no JSON"


class Breaker:
    def __init__(
        self, urls: Mapping[str, list[str]], client: httpx.AsyncClient, rabbitmq_url: Callable[[], str]
    ) -> None:
        self._urls = urls
        self._client = client
        self._rabbitmq_url = rabbitmq_url

    async def kill(self, service: str, replica: str | None) -> None:
        """Ends one process, or the first if none is named."""
        found = await self._replicas(service)
        for address in found:
            if replica in (None, urlsplit(address).netloc):
                await self._post(address, "kill", {})
                return
        raise Refused(404, "not-found", f"{service} has no replica {replica}.")

    async def disconnect(self, service: str) -> None:
        for address in await self._replicas(service):
            await self._post(address, "disconnect", {})

    async def gateway(self, answers: str) -> None:
        for address in await self._replicas(PAYMENT):
            await self._post(address, "gateway", {"answers": answers})

    async def poison(self) -> int:
        """Sends what nobody can read to whoever reads new orders."""
        async with self._channel() as channel:
            await _publish(channel, "order.created", _POISON)
        return 1

    async def again(self, documents: Sequence[Mapping[str, Any]]) -> int:
        """Sends events once more, with the ids that they had; returns how many."""
        async with self._channel() as channel:
            for document in documents:
                await _publish(channel, routing_key(document["type"]), orjson.dumps(document))
        return len(documents)

    async def wipe(self, service: str) -> int:
        """Empties a service's queue, and returns how many messages are lost."""
        async with self._channel() as channel:
            queue = await channel.declare_queue(service, passive=True)
            return (await queue.purge()).message_count or 0

    async def _replicas(self, service: str) -> list[str]:
        return [address for url in self._urls[service] for address in await addresses(url)]

    async def _post(self, address: str, act: str, body: Mapping[str, Any]) -> None:
        try:
            answer = await self._client.post(f"{address}/development/{act}", json=body)
        except httpx.TransportError as error:
            raise Unavailable(f"{urlsplit(address).netloc} does not answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise Refused(409, "refused", f"{urlsplit(address).netloc} does not do it (status {answer.status_code}).")

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        try:
            async with await aio_pika.connect(self._rabbitmq_url(), timeout=5) as connection:
                yield await connection.channel()
        except (OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
            raise Unavailable(f"the broker does not do it ({reason_of(error)})") from error


async def _publish(channel: AbstractChannel, key: str, body: bytes) -> None:
    exchange = await channel.get_exchange(EXCHANGE, ensure=False)
    await exchange.publish(Message(body, content_type=SINGLE, delivery_mode=DeliveryMode.PERSISTENT), key)
