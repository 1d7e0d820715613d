"""The connections to RabbitMQ. One loop opens them, watches them and opens them again.

aio-pika's reconnecting connection doesn't report which channel or consumer it fails to restore. Here any doubt (a
closed channel, a lost consumer, a missing answer) ends both connections, and new ones are built from nothing.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import aio_pika
import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import PublishError
from chassis.messaging.topology import EXCHANGE, Queue, assert_topology
from chassis.ports.errors import Unavailable, abandoned_is_unavailable, reason_of, survived
from chassis.ports.ids import uuid7
from prometheus_client import Gauge

HEARTBEAT_SECONDS = 10
WATCH_EVERY_SECONDS = 5.0
ASSERT_EVERY_SECONDS = 60.0
ANSWER_TIMEOUT_SECONDS = 10.0
MAX_IN_FLIGHT = 200

DEAD_LETTERS = Gauge(
    "dead_letters", "Messages in the service's dead-letter queue, except for messages that a person is inspecting"
)
BROKER_CONNECTED = Gauge("broker_connected", "1 while this process is connected and a consumer of its queue, else 0")

log = structlog.get_logger()


class Unroutable(Exception):
    """No queue took the message."""


class QueueConsumer(Protocol):
    stopping: bool
    """The consumer has left its queue on purpose."""

    async def attach(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        """Begins to consume on a channel of its own."""

    async def detach(self) -> None:
        """Ends the work in hand without another acknowledgement, because the channel is lost."""

    async def attached(self) -> bool:
        """Whether the channel still has the consumer."""


class Broker:
    def __init__(self, url: Callable[[], str], queue: Queue, *, verified: bool = False) -> None:
        """`url` is read anew for each connection. `verified` if each service logs in as the user of its own name, which
        may declare nothing: RabbitMQ then vouches for a message's sender, and a deploy step declares the topology."""
        self.verified = verified
        self._url = url
        self._queue = queue
        self._consumer: QueueConsumer | None = None
        self._publishing: AbstractChannel | None = None
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._supervisor: asyncio.Task[None] | None = None
        self._failures = 0
        self._connections: tuple[AbstractConnection, ...] = ()
        self.on_connected: Callable[[], None] = lambda: None

    def serve(self, consumer: QueueConsumer) -> None:
        """Attaches the consumer to every new connection."""
        self._consumer = consumer

    @property
    def connected(self) -> bool:
        return self._publishing is not None and not self._publishing.is_closed

    async def disconnect(self) -> None:
        """Closes the connections under whatever goes on; new ones are made, as after any other loss."""
        await asyncio.gather(*(connection.close() for connection in self._connections))

    async def problem(self) -> str | None:
        return None if self.connected else "not connected; the log says why"

    async def publish(
        self,
        routing_key: str,
        body: bytes,
        content_type: str | None,
        *,
        exchange: str = EXCHANGE,
        headers: Mapping[str, str | int] | None = None,
    ) -> None:
        """Publishes a persistent message and returns when a quorum of the queue's nodes has it.

        Raises Unroutable if no queue takes it. Raises Unavailable if the broker is away, or doesn't answer within
        ANSWER_TIMEOUT_SECONDS but may have taken the message.
        """
        channel = self._publishing
        if channel is None or channel.is_closed:
            raise Unavailable("the broker is away")
        message = Message(
            body,
            content_type=content_type,
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=str(uuid7()),
            timestamp=datetime.now(UTC),
            user_id=self._queue.service if self.verified else None,
            headers=dict(headers or {}),
        )
        try:
            with abandoned_is_unavailable():
                async with self._in_flight, asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                    target = await channel.get_exchange(exchange, ensure=False)
                    await target.publish(message, routing_key, mandatory=True)
        except PublishError:
            raise Unroutable(f"no queue takes {routing_key}") from None
        except Exception as error:
            raise Unavailable(f"the broker did not confirm: {reason_of(error)}") from error

    async def start(self) -> None:
        self._supervisor = asyncio.create_task(self._supervise(), name="broker")

    async def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)

    async def _supervise(self) -> None:
        while True:
            with survived("keeping the connections to the broker"):
                await self._connect_and_watch()
            await asyncio.sleep(random.uniform(0.2, min(0.5 * 2 ** min(self._failures, 4), 5.0)))  # noqa: S311 (spreads load, guards nothing)

    async def _connect_and_watch(self) -> None:
        try:
            # Two connections, because a broker that is short of memory or disk blocks connections that publish, and
            # acknowledgements must go on.
            with abandoned_is_unavailable():
                async with self._connection() as consuming, self._connection() as publishing:
                    try:
                        await self._open(consuming, publishing)
                        self._failures = 0
                        await self._watch(consuming, publishing)
                    finally:
                        self._publishing, self._connections = None, ()
                        BROKER_CONNECTED.set(0)
                        if self._consumer is not None:
                            await self._consumer.detach()
        except Exception as error:
            if self._failures == 0:
                log.warning("broker away, trying again until it is back", reason=reason_of(error))
            self._failures += 1

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        url = aio_pika.connection.make_url(self._url(), heartbeat=HEARTBEAT_SECONDS)
        if self.verified and url.user != self._queue.service:  # RabbitMQ would refuse each message, and not say why
            raise Unavailable(f"the URL logs in as {url.user}, and must as {self._queue.service}")
        connection = aio_pika.Connection(url, client_properties={"connection_name": self._queue.service})
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                await connection.connect()
            yield connection
        finally:
            try:
                async with asyncio.timeout(5):
                    await connection.close()
            except Exception as error:
                log.debug("the connection did not close in order", reason=reason_of(error))

    async def _open(self, consuming: AbstractConnection, publishing: AbstractConnection) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            self._administration = await consuming.channel()
            queue = await assert_topology(self._administration, self._queue, passive=self.verified)
            publisher = await publishing.channel(publisher_confirms=True, on_return_raises=True)
            if self._consumer is not None:
                channel = await consuming.channel()
                await self._consumer.attach(channel, await channel.get_queue(queue.name, ensure=False))
            self._publishing = publisher
        self._connections = consuming, publishing
        BROKER_CONNECTED.set(1)
        self.on_connected()
        log.info("connected to the broker", queue=queue.name)

    async def _watch(self, *connections: AbstractConnection) -> None:
        """Never returns; raises as soon as a connection is no longer as _open left it."""
        loop = asyncio.get_running_loop()
        assert_at = loop.time() + ASSERT_EVERY_SECONDS
        closed = loop.create_future()

        def note(_: object, cause: object) -> None:
            if not closed.done():
                closed.set_result(cause)

        for connection in connections:
            connection.close_callbacks.add(note)  # closed() resolves only if this side closes the connection
        while True:
            await asyncio.wait([closed], timeout=WATCH_EVERY_SECONDS)
            if closed.done() or not self.connected:
                raise Unavailable(
                    f"the connection was closed: {closed.result() if closed.done() else 'without a word'}"
                )
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                if loop.time() > assert_at:
                    await assert_topology(self._administration, self._queue, passive=self.verified)
                    assert_at = loop.time() + ASSERT_EVERY_SECONDS
                own = await self._administration.declare_queue(self._queue.service, passive=True)
                if (
                    self._consumer is not None
                    and not (await self._consumer.attached() and own.declaration_result.consumer_count)
                    and not self._consumer.stopping
                ):
                    raise Unavailable(f"no longer a consumer of {self._queue.service}")
                letters = await self._administration.declare_queue(self._queue.dead_letters, passive=True)
                DEAD_LETTERS.set(letters.declaration_result.message_count or 0)
