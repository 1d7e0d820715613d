"""Takes what waits in RabbitMQ out into a file: after a restore it is of a time that the database knows nothing of.

The dead letters go too: sent back later, a decision of the time that is lost would be followed as if it held.
"""

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import IO

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity
from chassis.messaging.topology import RETRY_DELAYS_SECONDS, Queue

from operations.addresses import SERVICES, Refused

# What waits for a retry moves to its service's queue by itself: the retries are emptied first, and all of it until
# nothing was found any more.
QUEUES = (
    *(f"order_events.retry.{delay}s" for delay in RETRY_DELAYS_SECONDS),  # of version 1.0, whose messages may be there
    *(Queue(name, ()).retry(delay) for name in SERVICES for delay in RETRY_DELAYS_SECONDS),
    *SERVICES,
    *(Queue(name, ()).dead_letters for name in SERVICES),
)
_MESSAGES_A_WRITE = 500


def take_out(url: str, file: Path) -> Counter[str]:
    """How many messages it took, by queue. A line of JSON for each is appended to the file, and on disk before the
    broker forgets the message. Raises Refused while a service is at its queue."""
    with open(file, "a", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
        return asyncio.run(_take_out(url, output))


async def _take_out(url: str, output: IO[str]) -> Counter[str]:
    taken: Counter[str] = Counter()
    async with await aio_pika.connect(url) as connection:
        found = True
        while found:
            counts = {queue: await _empty(connection, queue, output) for queue in QUEUES}
            taken.update(counts)
            found = any(counts.values())
    return +taken


async def _empty(connection: AbstractConnection, name: str, output: IO[str]) -> int:
    number = 0
    async with connection.channel() as channel:
        try:
            queue = await channel.declare_queue(name, passive=True)
        except ChannelNotFoundEntity:
            return 0
        if queue.declaration_result.consumer_count:
            raise Refused(f"{name} is still consumed: stop the services first.")
        while batch := await _get(queue, _MESSAGES_A_WRITE):
            output.writelines(_line(name, message) for message in batch)
            output.flush()
            os.fsync(output.fileno())
            await batch[-1].ack(multiple=True)
            number += len(batch)
    return number


async def _get(queue: AbstractQueue, most: int) -> list[AbstractIncomingMessage]:
    batch: list[AbstractIncomingMessage] = []
    while len(batch) < most and (message := await queue.get(fail=False)) is not None:
        batch.append(message)
    return batch


def _line(queue: str, message: AbstractIncomingMessage) -> str:
    """Bytes that are no UTF-8 stay readable to `body.encode("utf-8", "surrogateescape")`."""
    document = {
        "queue": queue,
        "message_id": message.message_id,
        "content_type": message.content_type,
        "headers": message.headers,
        "body": message.body.decode("utf-8", "surrogateescape"),
    }
    return json.dumps(document, default=str) + "\n"
