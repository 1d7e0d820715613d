"""A consumer of the tiny service, run on real servers, and both ends of its queues."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import Consumer
from chassis.messaging.envelope import BATCH, SINGLE
from chassis.messaging.publisher import Publisher
from chassis.messaging.topology import EXCHANGE
from chassis.ports.events import Received
from chassis.testing import eventually
from tests.note_service import DECODER, SERVICE, NotesUnitOfWork, take_notes

UseCase = Callable[[Sequence[Received], NotesUnitOfWork], Awaitable[None]]
Running = Callable[[UseCase], Any]


@pytest.fixture
def running(
    broker: Broker, units: Callable[[], NotesUnitOfWork], publisher: Publisher, channel: AbstractChannel
) -> Running:
    @asynccontextmanager
    async def run(use_case: UseCase = take_notes) -> AsyncIterator[Consumer[NotesUnitOfWork]]:
        consumer = Consumer(broker, service=SERVICE, decoder=DECODER, units=units, use_case=use_case)
        await broker.start()
        await eventually(lambda: broker.connected)
        yield consumer
        await consumer.stop()
        await publisher.stop()
        await broker.stop()

    return run


async def send(channel: AbstractChannel, *events: object, content_type: str | None = None, body: bytes = b"") -> None:
    exchange = await channel.get_exchange(EXCHANGE)
    default = (SINGLE, orjson.dumps(events[0])) if len(events) == 1 else (BATCH, orjson.dumps(events))
    message = Message(body or default[1], content_type=content_type or default[0])
    await exchange.publish(message, "thing.happened")


async def dead_letters(channel: AbstractChannel, number: int) -> list[AbstractIncomingMessage]:
    queue = await channel.get_queue(f"{SERVICE}.dlq")
    found: list[AbstractIncomingMessage] = []

    async def all_there() -> bool:
        message = await queue.get(no_ack=True, fail=False)
        if message is not None:
            found.append(message)
        return len(found) == number

    await eventually(all_there)
    assert await queue.get(no_ack=True, fail=False) is None
    return found


async def drained(channel: AbstractChannel) -> bool:
    """Whether the queue is empty and nothing in it waits for an acknowledgement: its deletion would say so."""
    queue = await channel.declare_queue(SERVICE, passive=True)
    return queue.declaration_result.message_count == 0


def orders(*events: dict[str, object]) -> set[UUID]:
    return {UUID(str(event["subject"])) for event in events}


async def equals(value: Awaitable[Any], expected: object) -> bool:
    return bool(await value == expected)
