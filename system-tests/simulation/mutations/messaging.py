"""Mistakes in how messages are taken in, sent and acknowledged: the chassis."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from simulation.mutations.registry import module, mutation
from simulation.scenario import INVENTORY, NOTIFICATION, ORDER, PAYMENT, WITH_DATABASE


@mutation("inbox dropped", *WITH_DATABASE)
def no_inbox() -> None:
    async def take_in(connection: Any, consumer: str, ids: Any) -> Any:
        return connection.now, set(ids)

    module("chassis.postgres.inbox").take_in = take_in


@mutation("notification's memory of events dropped", NOTIFICATION)
def no_memory() -> None:
    async def take_in(self: Any, consumer: str, events: Any) -> Any:
        return list(events)

    module("infrastructure.unit_of_work").MemoryUnitOfWork.take_in = take_in


@mutation("what is said again is news to customers", NOTIFICATION)
def repeats_told() -> None:
    notify = module("application.handle_events").HandleEvents
    tell = notify.__call__

    async def tell_all(self: Any, events: Any, unit: Any) -> None:
        await tell(self, [replace(event, repeat=False) for event in events], unit)

    notify.__call__ = tell_all


@mutation("what is said again has the id that it had", *WITH_DATABASE)
def same_id() -> None:
    publisher = module("chassis.messaging.publisher").Publisher
    envelope, events = module("chassis.messaging.envelope"), module("chassis.ports.events")

    def encode(self: Any, event: Any, *, time: Any, traceparent: str, repeat: bool = False) -> Any:
        event_id = UUID(int=event.order_id.int ^ int.from_bytes(event.name.encode()[-8:]))
        began = datetime(2026, 1, 1, tzinfo=UTC)
        source = events.publisher(event.name)
        return envelope.encode(source, event, event_id=event_id, time=began, traceparent=traceparent)

    publisher.encode = encode


@mutation("acknowledged before the commit")
def ack_first() -> None:
    consumer = module("chassis.messaging.consumer").Consumer
    take = consumer._handle

    async def nothing(multiple: bool = False) -> None:
        pass

    async def ack_and_take(self: Any, deliveries: Any) -> None:
        if deliveries:
            await deliveries[-1].message.ack(multiple=True)
            deliveries[-1].message.ack = nothing
        await take(self, deliveries)

    consumer._handle = ack_and_take


@mutation("published before the commit", *WITH_DATABASE)
def publish_first() -> None:
    publisher = module("chassis.messaging.publisher").Publisher
    encode = publisher.encode

    def encode_and_send(self: Any, *arguments: Any, **named: Any) -> Any:
        encoded = encode(self, *arguments, **named)
        self.send([encoded])
        return encoded

    publisher.encode = encode_and_send


@mutation("outbox rows deleted before the broker has confirmed", *WITH_DATABASE)
def delete_first() -> None:
    outbox = module("chassis.messaging.publisher").Publisher
    publish = outbox._publish

    async def delete_and_publish(self: Any, message: Any) -> None:
        self._delete_soon([event.id for event in message])
        await publish(self, message)

    outbox._publish = delete_and_publish


@mutation("events only sent from memory, not put into the outbox", *WITH_DATABASE)
def no_outbox() -> None:
    async def insert(connection: Any, events: Any) -> None:
        pass

    module("chassis.postgres.unit_of_work").insert_into_outbox = insert


@mutation("nobody sweeps the outbox", *WITH_DATABASE)
def no_sweep() -> None:
    async def sweep(self: Any) -> None:
        pass

    module("chassis.messaging.publisher").Publisher.sweep = sweep


@mutation("an event whose handler failed is dropped", *WITH_DATABASE)
def no_retry() -> None:
    async def set_aside(self: Any, delivery: Any, error: Exception) -> None:
        pass

    module("chassis.messaging.consumer").Consumer._set_aside = set_aside


@mutation("the rest of a batch is dropped after a failure in it", INVENTORY, ORDER, PAYMENT)
def batch_dropped() -> None:
    consumer = module("chassis.messaging.consumer").Consumer
    settle = consumer._handle_together

    async def settle_first(self: Any, deliveries: Any) -> Any:
        try:
            await self._attempt([delivery.event for delivery in deliveries])
        except Exception:
            return await settle(self, deliveries[:1])
        return []

    consumer._handle_together = settle_first


@mutation("a transaction in doubt is taken for a failed one, and its events are dropped", *WITH_DATABASE)
def doubt_dropped() -> None:
    consumer = module("chassis.messaging.consumer")
    consumer.is_outage = lambda error: False

    async def set_aside(self: Any, delivery: Any, error: Exception) -> None:
        pass

    consumer.Consumer._set_aside = set_aside
