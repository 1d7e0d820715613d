"""The events as they pass, from a queue that exists only while somebody looks.

The queue takes part in nothing: it is exclusive, vanishes with the connection, drops its oldest messages rather than
hold anything up, and is bound only while the queues of all services exist, because a bound queue makes an event
routable that nobody reads.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aio_pika
import orjson
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from chassis.messaging.envelope import BATCH, MAX_BODY_BYTES, SINGLE
from chassis.messaging.topology import EXCHANGE, Queue
from chassis.ports.errors import abandoned_is_unavailable, reason_of, survived
from chassis.ports.events import routing_key

from application.events import LANES, READERS
from application.figures import Waiting

MOST_MESSAGES = 1_000
LOOKED_AT_FOR_SECONDS = 60.0
"""So long after the last page has gone, events are still followed: somebody may only have reloaded it."""
COUNT_EVERY_SECONDS = 1.0
ANSWER_TIMEOUT_SECONDS = 5.0
HEARTBEAT_SECONDS = 10
RETRY_AFTER_SECONDS = 1.0
ARGUMENTS: dict[str, Any] = {"x-queue-type": "classic", "x-max-length": MOST_MESSAGES, "x-overflow": "drop-head"}

log = structlog.get_logger()


class EventFeed:
    """`take` gets the documents of each message."""

    def __init__(self, url: Callable[[], str], take: Callable[[Sequence[object]], None]) -> None:
        self.state = "resting"
        self.waiting: dict[str, Waiting] = {}
        """What waits in each service's queues; empty while nobody can say."""
        self._url = url
        self._take = take
        self._until = 0.0
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="feed")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """Somebody looks; to be called again and again while that is so."""
        self._until = time.monotonic() + LOOKED_AT_FOR_SECONDS
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            with survived("the feed"):
                await self._follow()
            self.waiting = {}
            if time.monotonic() > self._until:
                self._wanted.clear()
                self.state = "resting"
            else:
                await asyncio.sleep(RETRY_AFTER_SECONDS)

    async def _follow(self) -> None:
        """Returns when nobody has looked for a while, or when anything is not as it should be."""
        try:
            with abandoned_is_unavailable():
                async with self._connection() as connection:
                    channel = await connection.channel()
                    await self._count(channel)
                    await self._consume(await connection.channel())
                    self.state = "following"
                    while time.monotonic() < self._until:
                        await asyncio.sleep(COUNT_EVERY_SECONDS)
                        await self._count(channel)
        except ChannelNotFoundEntity:
            self.state = "no-queues"
        except Exception as error:
            if self.state != "away":
                log.warning("events can't be followed for now", reason=reason_of(error))
            self.state = "away"

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        url = aio_pika.connection.make_url(self._url(), heartbeat=HEARTBEAT_SECONDS)
        connection = aio_pika.Connection(url, client_properties={"connection_name": "console"})
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                await connection.connect()
            yield connection
        finally:
            with suppress(Exception):  # it may be gone already
                async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                    await connection.close()

    async def _count(self, channel: AbstractChannel) -> None:
        """Raises ChannelNotFoundEntity if one of the services' queues is missing."""

        async def ready(name: str) -> int:
            return (await channel.declare_queue(name, passive=True)).declaration_result.message_count or 0

        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            for lane in LANES:
                own = Queue(lane, ())
                retries = [name for name in own.queues if name not in (lane, own.dead_letters)]
                self.waiting[lane] = Waiting(
                    await ready(lane), sum([await ready(name) for name in retries]), await ready(own.dead_letters)
                )

    async def _consume(self, channel: AbstractChannel) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            queue = await channel.declare_queue(exclusive=True, auto_delete=True, arguments=ARGUMENTS)
            for name in READERS:
                await queue.bind(EXCHANGE, routing_key(name))
            await queue.consume(self._on_message, no_ack=True)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._take(documents(message.body, message.content_type))


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
