"""The events as they pass, from a queue that exists only while somebody looks.

The queue takes part in nothing: it is exclusive, vanishes with the connection, drops its oldest messages rather than
hold anything up, and is bound only while the queues of all services exist, because a bound queue makes an event
routable that nobody reads.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from chassis.messaging.envelope import BATCH, MAX_BODY_BYTES, SINGLE
from chassis.messaging.topology import EXCHANGE, Queue
from chassis.ports.events import routing_key

from operations.addresses import SERVICES

EVENTS: tuple[str, ...] = tuple(json.loads(Path(__file__).with_name("events.json").read_text()))
"""The names of those that a service reads: `make contracts` writes the file."""
MOST_MESSAGES = 1_000
ANSWER_TIMEOUT_SECONDS = 5.0
HEARTBEAT_SECONDS = 10
ARGUMENTS: dict[str, Any] = {"x-queue-type": "classic", "x-max-length": MOST_MESSAGES, "x-overflow": "drop-head"}

Take = Callable[[Sequence[object]], None]
"""Gets the documents of each message."""


@asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[AbstractConnection]:
    """One that is not made again by itself. Raises what aio-pika raises, or TimeoutError."""
    connection = aio_pika.Connection(
        aio_pika.connection.make_url(url, heartbeat=HEARTBEAT_SECONDS), client_properties={"connection_name": name}
    )
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            await connection.connect()
        yield connection
    finally:
        with suppress(Exception):  # it may be gone already
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                await connection.close()


async def waiting(channel: AbstractChannel) -> dict[str, tuple[int, int, int]]:
    """How many messages wait at each service: in its queue, for a retry, and as dead letters. Events that travel
    together are one message. Raises ChannelNotFoundEntity if one of the services' queues is missing."""

    async def ready(name: str) -> int:
        return (await channel.declare_queue(name, passive=True)).declaration_result.message_count or 0

    counted = {}
    async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
        for service in SERVICES:
            own = Queue(service, ())
            retries = [name for name in own.queues if name not in (service, own.dead_letters)]
            retried = sum([await ready(name) for name in retries])
            counted[service] = await ready(service), retried, await ready(own.dead_letters)
    return counted


async def follow(channel: AbstractChannel, take: Take) -> None:
    """From now on; to be called only once `waiting` has seen all queues, and again and again, to see them vanish."""

    async def on_message(message: AbstractIncomingMessage) -> None:
        take(documents(message.body, message.content_type))

    async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
        queue = await channel.declare_queue(exclusive=True, auto_delete=True, arguments=ARGUMENTS)
        for name in EVENTS:
            await queue.bind(EXCHANGE, routing_key(name))
        await queue.consume(on_message, no_ack=True)


def documents(body: bytes, content_type: str | None) -> list[object]:
    """The CloudEvents documents of a message; none if it is no such message."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type not in (SINGLE, BATCH) or len(body) > MAX_BODY_BYTES:
        return []
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    if media_type == SINGLE:
        return [content]
    return content if isinstance(content, list) else []
