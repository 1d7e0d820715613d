"""The batching consumer: gives what has arrived to one run of the use case, then acknowledges it with one ack.

A message is acknowledged when each of its events has either taken effect (in a committed transaction) or been set aside
(the broker has confirmed it in a retry or dead-letter queue).
"""

import asyncio
import collections
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import aiormq
import orjson
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from chassis.messaging.broker import Broker
from chassis.messaging.envelope import SINGLE, Decoder, Unreadable
from chassis.messaging.origin import Origin
from chassis.messaging.topology import RETRY_DELAYS_SECONDS, Queue
from chassis.ports import tracing
from chassis.ports.errors import Conflict, Rejected, is_outage, reason_of
from chassis.ports.events import Received
from chassis.ports.tracing import trace_id
from prometheus_client import Counter, Histogram

MAX_EVENTS_A_BATCH = 200
MAX_CONFLICTS = 20
"""Consecutive conflicts, after which the events themselves must be at fault: nobody loses that many races."""
PREFETCH_MESSAGES = 200
CAREFUL_MESSAGES = 200
"""A connection first takes messages one at a time, until a message comes that was never delivered before, or this many
have come. A message that kills the process or the connection then uses up only its own deliveries, not those of the
messages fetched with it: a quorum queue delivers returned messages first."""

EVENTS_CONSUMED = Counter("events_consumed", "Events taken in", ("type",))
EVENTS_DUPLICATE = Counter("events_duplicate", "Events that the inbox knew already")
EVENTS_RETRIED = Counter("events_retried", "Events set aside for a later attempt")
EVENTS_DEAD_LETTERED = Counter("events_dead_lettered", "Events given to the dead-letter queue", ("reason",))
EVENT_BATCH_SIZE = Histogram(
    "event_batch_size", "Events that shared a transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 200)
)

log = structlog.get_logger()


class InboxUnit(Protocol):
    """The part of a unit of work that the consumer uses."""

    async def take_in(self, consumer: str, events: Sequence[Received]) -> list[Received]: ...

    async def commit(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event and the message that brought it."""

    event: Received | Unreadable
    message: AbstractIncomingMessage
    origin: Origin

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Reason and detail, if the event can't be given to the use case."""
        if isinstance(self.event, Unreadable):
            return self.event.reason, self.event.detail
        forgery = self.origin.contradicts(self.event)
        return ("forged", forgery) if forgery else None

    def alone(self) -> tuple[bytes, str | None]:
        """Body and content type of a message with this event alone; the whole message if that is impossible."""
        if isinstance(self.event, Unreadable):
            return self.event.raw, self.event.content_type
        try:
            return orjson.dumps(self.event.document), SINGLE
        except orjson.JSONEncodeError:  # unknown fields, nested more deeply than orjson writes
            return self.message.body, self.message.content_type


U = TypeVar("U", bound=InboxUnit)


class Consumer(Generic[U]):
    def __init__(
        self,
        broker: Broker,
        *,
        service: str,
        decoder: Decoder,
        units: Callable[[], AbstractAsyncContextManager[U]],
        use_case: Callable[[Sequence[Received], U], Awaitable[None]],
    ) -> None:
        self._broker = broker
        self._service = service
        self._places = Queue(service, ())
        self._decoder = decoder
        self._units = units
        self.use_case = use_case
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._channel: AbstractChannel | None = None
        self._queue: AbstractQueue | None = None
        self._tag = ""
        self._loop: asyncio.Task[None] | None = None
        self._in_hand = asyncio.Lock()
        self.stopping = False
        broker.serve(self)

    async def attach(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self._arrived = asyncio.Queue()
        self._channel, self._queue = channel, queue
        await channel.set_qos(prefetch_count=1)
        self._loop = asyncio.create_task(self._run(channel, queue), name="consumer")
        self._tag = await queue.consume(self._arrived.put)

    @property
    def has_ended(self) -> bool:
        """Whether the consuming loop has ended, which the broker notices within WATCH_EVERY_SECONDS."""
        return self._loop is not None and self._loop.done()

    async def attached(self) -> bool:
        if self.stopping:
            return True
        if self._channel is None or self._channel.is_closed or self._loop is None or self.has_ended:
            return False
        channel = await self._channel.get_underlay_channel()
        return isinstance(channel, aiormq.Channel) and self._tag in channel.consumers

    async def detach(self) -> None:
        """Ends the loop. A batch in hand comes again, whether it was committed or rolled back."""
        self._channel = None
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def problem(self) -> str | None:
        return None if await self.attached() else f"not consuming {self._service}"

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Finishes the batch in hand; messages that were fetched after it return to the queue."""
        self.stopping = True
        try:
            async with asyncio.timeout(15):
                if self._queue is not None and self._channel is not None and not self._channel.is_closed:
                    await self._queue.cancel(self._tag)
                async with self._in_hand:
                    if self._loop is not None:
                        self._loop.cancel()
        except Exception as error:
            log.warning("the consumer did not stop in order", reason=reason_of(error))

    async def _run(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        arrived = self._arrived
        careful = CAREFUL_MESSAGES
        try:
            while not self.stopping:
                first = await arrived.get()
                async with self._in_hand:
                    last, deliveries = first, self._deliveries(first)
                    while len(deliveries) < MAX_EVENTS_A_BATCH and not arrived.empty():
                        last = arrived.get_nowait()
                        deliveries += self._deliveries(last)
                    await self._handle(deliveries)
                    await last.ack(multiple=True)
                    if careful:
                        careful = careful - 1 if first.redelivered else 0
                        if not careful:
                            await self._hurry(channel, queue)
        except Exception as error:  # the broker notices that this loop has ended, and connects again
            log.warning("consuming interrupted", reason=reason_of(error), exc_info=not is_outage(error))

    async def _hurry(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        """Replaces the consumer, because a consumer's prefetch can't change."""
        careful = self._tag
        await channel.set_qos(prefetch_count=PREFETCH_MESSAGES)
        self._tag = await queue.consume(self._arrived.put)
        await queue.cancel(careful)

    def _deliveries(self, message: AbstractIncomingMessage) -> list[Delivery]:
        origin = Origin.of(message, self._service, verified=self._broker.verified)
        return [Delivery(event, message, origin) for event in self._decoder.decode(message.body, message.content_type)]

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        readable: list[Delivery] = []
        refused: list[tuple[Delivery, tuple[str, str]]] = []
        for delivery in deliveries:
            if refusal := delivery.refusal:
                refused.append((delivery, refusal))
            else:
                readable.append(delivery)
        failed: list[tuple[Delivery, Exception]] = []
        for start in range(0, len(readable), MAX_EVENTS_A_BATCH):
            failed += await self._handle_together(readable[start : start + MAX_EVENTS_A_BATCH])
        # Last, because the broker may refuse to take them: then all messages come again, after the others took effect.
        for delivery, (reason, detail) in refused:
            await self._dead_letter(delivery, reason, detail)
        for delivery, error in failed:
            await self._set_aside(delivery, error)

    async def _handle_together(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, Exception]]:
        """Waits however long the database is away; returns the events that failed."""
        pauses = conflicts = 0
        while True:
            try:
                await self._attempt([delivery.event for delivery in deliveries if isinstance(delivery.event, Received)])
                if pauses:
                    log.info("consuming again", events=len(deliveries))
                return []
            except Exception as error:
                if is_outage(error):
                    if self.stopping:
                        raise
                    if pauses == 0:
                        log.warning("consuming paused, trying again until it can be done", reason=reason_of(error))
                    pauses += 1
                    await asyncio.sleep(random.uniform(0.1, min(0.25 * 2**pauses, 5.0)))  # noqa: S311 (spreads load, guards nothing)
                elif isinstance(error, Conflict) and conflicts < MAX_CONFLICTS:
                    conflicts += 1
                    await asyncio.sleep(random.uniform(0.0, 0.05))  # noqa: S311 (spreads load, guards nothing)
                elif len(deliveries) == 1:
                    return [(deliveries[0], error)]
                else:
                    break
        return [failed for delivery in deliveries for failed in await self._handle_together([delivery])]

    async def _attempt(self, events: Sequence[Received]) -> None:
        began = time.perf_counter()
        recorder = tracing.recorder
        with nullcontext() if recorder is None else recorder.processing(self._service, events):
            async with self._units() as unit:
                fresh = await unit.take_in(self._service, events)
                if fresh:
                    await self.use_case(fresh, unit)
                await unit.commit()
        types = collections.Counter(event.type for event in fresh)
        for name, number in types.items():
            EVENTS_CONSUMED.labels(name).inc(number)
        EVENT_BATCH_SIZE.observe(len(events))
        EVENTS_DUPLICATE.inc(len(events) - len(fresh))
        if log.is_enabled_for(logging.DEBUG):
            for event in fresh:
                about = {"event_id": str(event.id), "order": event.order_id, "trace_id": trace_id(event.traceparent)}
                log.debug("event consumed", type=event.type, **about)
        log.info(
            "consumed",
            types=dict(types),
            events=len(fresh),
            duplicates=len(events) - len(fresh),
            orders=[event.order_id for event in events],
            **({"trace_id": trace_id(events[0].traceparent)} if len(events) == 1 else {}),
            ms=round((time.perf_counter() - began) * 1000, 1),
        )

    async def _set_aside(self, delivery: Delivery, error: Exception) -> None:
        """Publishes the event to a retry queue, or to the dead letters if no retry is left or could help."""
        if isinstance(error, Rejected):
            await self._dead_letter(delivery, error.reason, str(error))
            return
        if delivery.origin.attempts >= len(RETRY_DELAYS_SECONDS):
            await self._dead_letter(delivery, "handler-error", reason_of(error), error)
            return
        delay = RETRY_DELAYS_SECONDS[delivery.origin.attempts]
        await self._publish(delivery, self._places.retry(delay), "handler-error", reason_of(error))
        EVENTS_RETRIED.inc()
        log.warning(
            "event set aside", reason=reason_of(error), retry_after_seconds=delay, exc_info=error, **_names(delivery)
        )

    async def _dead_letter(self, delivery: Delivery, reason: str, detail: str, error: Exception | None = None) -> None:
        await self._publish(delivery, self._places.dead_letters, reason, detail)
        EVENTS_DEAD_LETTERED.labels(reason).inc()
        log.error("event dead-lettered", reason=reason, detail=detail, exc_info=error, **_names(delivery))

    async def _publish(self, delivery: Delivery, place: str, reason: str, detail: str) -> None:
        body, content_type = delivery.alone()
        await self._broker.publish(
            place,
            body,
            content_type,
            exchange=self._places.aside,
            headers={
                "x-reason": reason,
                "x-service": self._service,
                "x-routing-key": delivery.origin.routing_key,
                "x-attempts": delivery.origin.attempts + 1,
                "x-error": detail[:500],
            },
        )


def _names(delivery: Delivery) -> dict[str, object]:
    event = delivery.event
    if isinstance(event, Received):
        return {
            "type": event.type,
            "event_id": str(event.id),
            "order": event.order_id,
            "trace_id": trace_id(event.traceparent),
            "attempts": delivery.origin.attempts + 1,
        }
    return {"routing_key": delivery.origin.routing_key, "bytes": len(event.raw)}
