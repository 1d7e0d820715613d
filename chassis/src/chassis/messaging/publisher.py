"""Publishes committed events: from memory at once, and by a sweep those that a crash or an outage left behind.

Events of one routing key that are ready at one moment travel in one message. Confirmed rows are deleted in batches.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, nullcontext
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Protocol
from uuid import UUID

import structlog
from chassis.messaging.broker import Broker
from chassis.messaging.envelope import encode, join
from chassis.ports import tracing
from chassis.ports.errors import reason_of
from chassis.ports.events import OrderEvent, Outgoing
from chassis.ports.ids import uuid7
from chassis.ports.tracing import trace_id
from prometheus_client import Counter, Gauge

MAX_EVENTS_A_MESSAGE = 100
MAX_MESSAGE_BYTES = 128 * 1024
MAX_EVENTS_IN_MEMORY = 2_000
"""More events stay in the outbox, so that an outage of the broker doesn't fill the memory."""
SWEEP_EVERY_SECONDS = 5.0
DELETE_EVERY_SECONDS = 0.5
"""A longer interval saves transactions, but a crash repeats more events."""
STUCK_AFTER_SECONDS = 20

EVENTS_PUBLISHED = Counter("events_published", "Events the broker has confirmed", ("type",))
MESSAGES_PUBLISHED = Counter("messages_published", "AMQP messages the broker has confirmed")
OUTBOX_BACKLOG = Gauge("outbox_backlog", "Events in the outbox at the last sweep (at most 10,001 are counted)")
OUTBOX_AGE_SECONDS = Gauge("outbox_oldest_age_seconds", "Age of the oldest event in the outbox at the last sweep")

log = structlog.get_logger()


def coalesce(events: Iterable[Outgoing]) -> list[list[Outgoing]]:
    """Groups the events by routing key, in as few messages as the limits on a message allow."""
    by_key = attrgetter("routing_key")
    messages: list[list[Outgoing]] = []
    for _, same_key in groupby(sorted(events, key=by_key), key=by_key):
        size = MAX_MESSAGE_BYTES
        for event in same_key:
            size += len(event.body) + 1
            if size > MAX_MESSAGE_BYTES or len(messages[-1]) == MAX_EVENTS_A_MESSAGE:
                messages.append([])
                size = len(event.body) + 2
            messages[-1].append(event)
    return messages


class Outbox(Protocol):
    """The committed events that the broker isn't known to have confirmed."""

    async def delete(self, ids: Sequence[UUID]) -> None: ...

    async def backlog(self) -> tuple[int, float]: ...

    def left_behind(self) -> AsyncGenerator[list[Outgoing], None]: ...


class Publisher:
    def __init__(self, rows: Outbox, broker: Broker, source: str) -> None:
        """`source` is the service's name."""
        self._rows = rows
        self._broker = broker
        self._source = source
        self._sending: set[UUID] = set()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._confirmed: list[UUID] = []
        self._deleter: asyncio.Task[None] | None = None
        self._oldest_age = 0.0
        self._waiting = 0

    def encode(self, event: OrderEvent, *, time: datetime, traceparent: str, repeat: bool = False) -> Outgoing:
        return encode(self._source, event, event_id=uuid7(), time=time, traceparent=traceparent, repeat=repeat)

    @property
    def takes_repeats(self) -> bool:
        """Whether repeats are of use: not while events wait for a broker that is away or takes nothing."""
        return self._broker.connected and not (
            self._oldest_age > STUCK_AFTER_SECONDS and self._waiting > MAX_EVENTS_IN_MEMORY
        )

    def send(self, events: Sequence[Outgoing]) -> None:
        """Publishes committed events in the background; never waits or raises. The sweep sends what this leaves."""
        if not self._broker.connected or len(self._sending) + len(events) > MAX_EVENTS_IN_MEMORY:
            return
        for message in coalesce(events):
            self._sending.update(event.id for event in message)
            task = asyncio.create_task(self._publish(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _publish(self, message: list[Outgoing]) -> bool:
        """Whether the broker has answered, even if it refused the message."""
        began = time.perf_counter()
        try:
            body, content_type = join([event.body for event in message])
            recorder = tracing.recorder
            with nullcontext() if recorder is None else recorder.publishing(message):
                await self._broker.publish(message[0].routing_key, body, content_type)
        except Exception as error:
            reason = reason_of(error)
            log.warning("not published, kept in the outbox", type=message[0].type, events=len(message), reason=reason)
            return not isinstance(error.__cause__, TimeoutError)
        finally:
            self._sending.difference_update(event.id for event in message)
        self._delete_soon([event.id for event in message])
        MESSAGES_PUBLISHED.inc()
        EVENTS_PUBLISHED.labels(message[0].type).inc(len(message))
        if log.is_enabled_for(logging.DEBUG):
            for event in message:
                about = {"event_id": str(event.id), "order": event.order_id, "trace_id": trace_id(event.traceparent)}
                log.debug("event published", type=event.type, **about)
        log.info(
            "published",
            type=message[0].type,
            events=len(message),
            orders=[event.order_id for event in message],
            **({"trace_id": trace_id(message[0].traceparent)} if len(message) == 1 else {}),
            ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return True

    def _delete_soon(self, ids: list[UUID]) -> None:
        self._confirmed += ids
        if self._deleter is None or self._deleter.done():
            self._deleter = asyncio.create_task(self._delete_confirmed())

    async def _delete_confirmed(self) -> None:
        while self._confirmed:
            await asyncio.sleep(DELETE_EVERY_SECONDS)
            await self._delete()

    async def _delete(self) -> None:
        ids, self._confirmed = self._confirmed, []
        if not ids:
            return
        try:
            await self._rows.delete(ids)
        except Exception as error:  # the sweep sends these events again, and the inboxes recognize them
            log.warning("published events not deleted yet", events=len(ids), reason=reason_of(error))

    async def sweep(self) -> None:
        """Sends the events that were left behind and measures the backlog."""
        self._waiting, self._oldest_age = await self._rows.backlog()
        OUTBOX_BACKLOG.set(self._waiting)
        OUTBOX_AGE_SECONDS.set(self._oldest_age)
        if not self._waiting or not self._broker.connected:
            return
        async with aclosing(self._rows.left_behind()) as batches:
            async for batch in batches:
                events = [event for event in batch if event.id not in self._sending]
                answered = await asyncio.gather(*(self._publish(message) for message in coalesce(events)))
                await self._delete()  # before another replica may sweep
                if not self._broker.connected or (answered and not any(answered)):
                    return

    async def problem(self) -> str | None:
        """Why the outbox was stuck at the last sweep, or None."""
        if self._oldest_age > STUCK_AFTER_SECONDS:
            return f"an event has waited {self._oldest_age:.0f} s to be published"
        return None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Waits for outstanding confirmations and deletes their rows."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)
        if self._deleter is not None:
            await asyncio.wait([self._deleter])
