"""What the consumer acknowledges, what it leaves to come again, and how much it takes at a time."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from aio_pika.abc import AbstractChannel
from chassis.messaging import broker as broker_module
from chassis.messaging import consumer as consumer_module
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import (
    EVENT_BATCH_SIZE,
    EVENTS_CONSUMED,
    EVENTS_DEAD_LETTERED,
    EVENTS_DUPLICATE,
    EVENTS_RETRIED,
)
from chassis.messaging.topology import Queue
from chassis.ports.errors import Rejected, Unavailable
from chassis.ports.events import Received
from chassis.postgres.database import Database
from chassis.testing import eventually
from tests.consuming import Running, dead_letters, equals, orders, send
from tests.note_service import SERVICE, NotesUnitOfWork, happened, noted, take_notes
from tests.watch import value_of


async def ready(channel: AbstractChannel) -> int:
    """The messages in the queue that nobody has in hand."""
    return int((await channel.declare_queue(SERVICE, passive=True)).declaration_result.message_count or 0)


async def consumers(channel: AbstractChannel) -> int:
    return int((await channel.declare_queue(SERVICE, passive=True)).declaration_result.consumer_count or 0)


async def test_all_that_was_handled_is_acknowledged_and_nothing_that_came_after_it(
    running: Running, channel: AbstractChannel, database: Database, broker: Broker
) -> None:
    first, batch, in_hand, behind = happened(), [happened() for _ in range(5)], happened(), happened()
    begun, gate = [asyncio.Event() for _ in range(3)], [asyncio.Event() for _ in range(3)]
    calls = 0

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal calls
        calls += 1
        begun[calls - 1].set()
        await gate[calls - 1].wait()
        await take_notes(events, unit)

    async with running(use_case):
        await send(channel, first)
        await begun[0].wait()
        for event in batch:
            await send(channel, event)
        gate[0].set()
        await begun[1].wait()
        await send(channel, in_hand)
        gate[1].set()
        await begun[2].wait()
        await send(channel, behind)
        await eventually(lambda: equals(ready(channel), 0))
        await broker.stop()  # as if the connection were lost
        assert await noted(database) == orders(first, *batch)
        await eventually(lambda: equals(ready(channel), 2))


async def test_what_a_lost_channel_brought_is_left_to_come_again_on_the_next(
    running: Running, channel: AbstractChannel, database: Database, broker: Broker
) -> None:
    events = [happened() for _ in range(5)]
    calls = connections = 0

    def count() -> None:
        nonlocal connections
        connections += 1

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            await asyncio.Event().wait()
        await take_notes(events, unit)

    broker.on_connected = count
    async with running(use_case) as consumer:
        await send(channel, events[0])  # from here on more than one message at a time is fetched
        await eventually(lambda: equals(noted(database), orders(events[0])))
        await send(channel, events[1])
        await eventually(lambda: calls == 2)
        for event in events[2:]:
            await send(channel, event)
        await eventually(lambda: equals(ready(channel), 0))
        await consumer.detach()  # as a lost connection does
        await eventually(lambda: equals(noted(database), orders(*events)), seconds=30)
    assert await ready(channel) == 0
    assert connections == 2


async def test_of_a_message_with_more_events_than_a_transaction_takes_each_takes_effect(
    running: Running, channel: AbstractChannel, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "MAX_EVENTS_A_BATCH", 2)
    sizes: list[int] = []

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        sizes.append(len(events))
        await take_notes(events, unit)

    events = [happened() for _ in range(5)]
    async with running(use_case):
        await send(channel, *events)
        await eventually(lambda: equals(noted(database), orders(*events)))
    assert sizes == [2, 2, 1]
    assert await ready(channel) == 0


async def test_a_stop_while_the_database_is_away_leaves_what_is_in_hand_in_the_queue(
    running: Running, channel: AbstractChannel
) -> None:
    tried = 0

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal tried
        tried += 1
        raise Unavailable("the database is away")

    async with running(use_case) as consumer:
        await send(channel, happened(), happened())
        await eventually(lambda: tried > 1)
        async with asyncio.timeout(10):
            await consumer.stop()
    await eventually(lambda: equals(ready(channel), 1))
    await dead_letters(channel, 0)


async def test_a_consumer_that_has_stopped_is_not_taken_for_one_that_was_lost(
    running: Running, channel: AbstractChannel, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is still to be published needs the connection."""
    monkeypatch.setattr(broker_module, "WATCH_EVERY_SECONDS", 0.05)
    connections = looks = 0

    class Counted(Queue):
        @property
        def dead_letters(self) -> str:
            nonlocal looks
            looks += 1
            return super().dead_letters

    def count() -> None:
        nonlocal connections
        connections += 1

    broker.on_connected = count
    broker._queue = Counted(SERVICE, ["ThingHappened"])
    async with running(take_notes) as consumer:
        await consumer.stop()
        await eventually(lambda: equals(consumers(channel), 0))
        before = looks
        await eventually(lambda: looks > before + 3)
    assert connections == 1


async def test_however_much_was_delivered_before_it_is_taken_one_at_a_time_for_a_while_only(
    running: Running, channel: AbstractChannel, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "CAREFUL_MESSAGES", 2)
    gates = [asyncio.Event() for _ in range(3)]
    entered = 0

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal entered
        entered += 1
        if entered <= len(gates):
            await gates[entered - 1].wait()
        await take_notes(events, unit)

    async def stands(taken: int, waiting: int) -> bool:
        return (entered, await ready(channel)) == (taken, waiting)

    async with running(take_notes):
        pass  # makes the queue
    events = [happened() for _ in range(6)]
    for event in events:
        await send(channel, event)
    queue = await channel.get_queue(SERVICE)
    for delivered_before in [await queue.get() for _ in events]:
        await delivered_before.nack()
    await eventually(partial(stands, 0, 6))
    async with running(use_case):
        for taken, waiting in ((1, 5), (2, 4), (3, 0)):
            await eventually(partial(stands, taken, waiting))
            gates[taken - 1].set()
        await eventually(lambda: equals(noted(database), orders(*events)))


async def test_a_consumer_that_consumes_no_more_shows_before_it_is_mended(
    running: Running, channel: AbstractChannel, broker: Broker
) -> None:
    """Whether the broker has cancelled it, or its loop has ended while its channel lives."""

    async def refuse(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        raise Rejected("unknown-order", "never heard of it")

    async def shows(problem: str | None) -> bool:
        return await consumer.problem() == problem and broker.connected

    async with running(refuse) as consumer:
        await channel.queue_delete(SERVICE)
        await eventually(partial(shows, f"not consuming {SERVICE}"))
        await eventually(partial(shows, None))
        await channel.queue_delete(f"{SERVICE}.dlq")
        await send(channel, happened())
        await eventually(partial(shows, f"not consuming {SERVICE}"))
        await eventually(partial(shows, None))


async def test_the_metrics_tell_what_was_taken_in_and_what_was_not(
    running: Running, channel: AbstractChannel, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "RETRY_DELAYS_SECONDS", (1,))
    good, bad = [happened() for _ in range(3)], happened()
    metrics = [
        EVENTS_CONSUMED.labels("ThingHappened"),
        EVENTS_DUPLICATE,
        EVENTS_RETRIED,
        EVENTS_DEAD_LETTERED.labels("handler-error"),
    ]
    before = [value_of(metric) for metric in metrics]
    size = EVENT_BATCH_SIZE._sum.get()

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        if any(event.data.order_id in orders(bad) for event in events):
            raise ValueError("no luck")
        await take_notes(events, unit)

    async with running(use_case):
        await send(channel, *good)
        await eventually(lambda: equals(noted(database), orders(*good)))
        await send(channel, good[0])
        await send(channel, bad)
        await dead_letters(channel, 1)
    assert [value_of(metric) - was for metric, was in zip(metrics, before, strict=True)] == [3, 1, 1, 1]
    assert EVENT_BATCH_SIZE._sum.get() == size + 4
