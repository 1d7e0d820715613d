"""The batching consumer, on a real broker and a real database."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel
from chassis.messaging import consumer as consumer_module
from chassis.messaging.broker import Broker
from chassis.messaging.envelope import BATCH, SINGLE
from chassis.messaging.topology import EXCHANGE
from chassis.ports.errors import Conflict, Rejected, Unavailable
from chassis.ports.events import Received
from chassis.postgres.database import Database
from chassis.testing import eventually
from tests.consuming import Running, dead_letters, drained, equals, orders, send
from tests.note_service import SERVICE, TRACE, Note, NotesUnitOfWork, happened, noted, notes, outbox_size, take_notes


async def test_an_event_takes_effect_once_however_often_it_comes(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    first, second = happened(), happened()
    given: list[UUID] = []

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        given.extend(event.id for event in events)
        await take_notes(events, unit)

    async with running(use_case):
        await send(channel, first)
        await send(channel, first, second, first)
        await send(channel, second)
        await eventually(lambda: equals(noted(database), orders(first, second)))
        await eventually(lambda: drained(channel))
    assert given == [UUID(str(event["id"])) for event in (first, second)], "the use case sees no event twice"
    assert await outbox_size(database) in (0, 2), "nobody reads note.taken, so its events wait in the outbox"


async def test_what_has_arrived_is_one_transaction(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    sizes: list[int] = []
    gate = asyncio.Event()

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        sizes.append(len(events))
        await take_notes(events, unit)
        if not gate.is_set():
            await gate.wait()

    events = [happened() for _ in range(60)]
    async with running(use_case):
        await send(channel, events[0])
        await eventually(lambda: sizes)
        for event in events[1:31]:
            await send(channel, event)
        await send(channel, *events[31:])
        gate.set()
        await eventually(lambda: equals(noted(database), orders(*events)))
    assert sizes[0] == 1
    assert max(sizes) > 30
    assert len(sizes) < 10


async def test_one_bad_event_harms_no_other_and_is_set_aside_alone(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    good, bad, unreadable = [happened() for _ in range(5)], happened(), happened(data={})

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        if any(event.data.order_id in orders(bad) for event in events):
            raise Rejected("unknown-order", "never heard of it" * 100)
        await take_notes(events, unit)

    async with running(use_case):
        await send(channel, *good[:2], bad, unreadable, *good[2:])
        letters = await dead_letters(channel, 2)
        await eventually(lambda: equals(noted(database), orders(*good)))
    by_reason = {letter.headers["x-reason"]: letter for letter in letters}
    assert orjson.loads(by_reason["unknown-order"].body) == bad
    assert orjson.loads(by_reason["invalid-data"].body) == unreadable
    headers = by_reason["unknown-order"].headers
    assert headers["x-service"] == SERVICE
    assert headers["x-routing-key"] == "thing.happened"
    assert headers["x-attempts"] == 1
    assert headers["x-error"] == ("never heard of it" * 100)[:500]


@pytest.mark.parametrize(
    ("forgery", "key", "said"),
    [
        ({"source": "other-service"}, "thing.happened", "by thing-service, not by other-service"),
        ({}, "thing.vanished", "ThingHappened came under the routing key thing.vanished"),
    ],
)
async def test_an_event_from_the_wrong_service_or_under_the_wrong_key_is_forged(
    running: Running, channel: AbstractChannel, database: Database, forgery: dict[str, object], key: str, said: str
) -> None:
    forged, good = happened() | forgery, happened()
    async with running(take_notes):
        await (await channel.get_queue(SERVICE)).bind(EXCHANGE, key)
        exchange = await channel.get_exchange(EXCHANGE)
        await exchange.publish(Message(orjson.dumps(forged), content_type=SINGLE), key)
        (letter,) = await dead_letters(channel, 1)
        await send(channel, good)
        await eventually(lambda: equals(noted(database), orders(good)))
    assert orjson.loads(letter.body) == forged
    assert (letter.headers["x-reason"], letter.headers["x-routing-key"]) == ("forged", key)
    assert said in str(letter.headers["x-error"])


async def test_an_event_that_is_sent_again_is_held_to_the_routing_key_that_its_message_names(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    """As a retry and a redrive do."""
    nameless, named = happened(), happened()
    async with running(take_notes):
        for event, key in ((nameless, SERVICE), (named, "thing.happened")):
            message = Message(orjson.dumps(event), content_type=SINGLE, headers={"x-routing-key": key})
            await channel.default_exchange.publish(message, SERVICE)
        (letter,) = await dead_letters(channel, 1)
        await eventually(lambda: equals(noted(database), orders(named)))
    assert orjson.loads(letter.body) == nameless
    assert letter.headers["x-reason"] == "forged"


async def test_a_batch_that_loses_to_another_transaction_is_run_again_as_a_whole(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    """Here to one that adds a row which the batch has not found, and is about to add."""
    events = [happened() for _ in range(3)]
    runs: list[int] = []

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        runs.append(len(events))
        order_ids = [event.data.order_id for event in events]
        known = await unit.notes.locked(order_ids)
        if len(runs) == 1:
            async with database.autocommit() as other:
                await other.execute(notes.insert(), {"order_id": order_ids[1], "traceparent": TRACE})
        for absent in set(order_ids) - known.keys():
            unit.notes.add(Note.take(absent))

    async with running(use_case):
        await send(channel, *events)
        await eventually(lambda: equals(noted(database), orders(*events)))
        await eventually(lambda: drained(channel))
    assert runs == [3, 3]


async def test_an_event_that_meets_a_conflict_each_time_is_set_aside_and_holds_up_nobody(
    running: Running, channel: AbstractChannel, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "RETRY_DELAYS_SECONDS", ())
    monkeypatch.setattr(consumer_module, "MAX_CONFLICTS", 2)
    good, bad = happened(), happened()

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        if any(event.data.order_id in orders(bad) for event in events):
            raise Conflict("lost again")
        await take_notes(events, unit)

    async with running(use_case):
        await send(channel, bad, good)
        (letter,) = await dead_letters(channel, 1)
        await eventually(lambda: equals(noted(database), orders(good)))
    assert orjson.loads(letter.body) == bad
    assert letter.headers["x-reason"] == "handler-error"


async def test_a_handlers_error_is_retried_and_then_dead_lettered(
    running: Running, channel: AbstractChannel, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "RETRY_DELAYS_SECONDS", (1, 1))
    hopeless, recovers, attempts = happened(), happened(), list[UUID]()

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        for event in events:
            attempts.append(event.data.order_id)
            if event.data.order_id in orders(hopeless) or attempts.count(event.data.order_id) < 3:
                raise ValueError("no luck")
        await take_notes(events, unit)

    async with running(use_case):
        await send(channel, hopeless)
        await send(channel, recovers)
        (letter,) = await dead_letters(channel, 1)
        await eventually(lambda: equals(noted(database), orders(recovers)))
    assert letter.headers["x-reason"] == "handler-error"
    assert letter.headers["x-attempts"] == 3
    assert letter.headers["x-routing-key"] == "thing.happened"
    assert "no luck" in str(letter.headers["x-error"])


@pytest.mark.parametrize("attempts", [-10, 2**40, True, "many"])
async def test_attempts_that_nobody_can_have_counted_harm_nothing(
    running: Running, channel: AbstractChannel, attempts: Any
) -> None:
    async def refuse(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        raise Rejected("unknown-order", "never heard of it")

    async with running(refuse):
        exchange = await channel.get_exchange(EXCHANGE)
        message = Message(orjson.dumps(happened()), content_type=SINGLE, headers={"x-attempts": attempts})
        await exchange.publish(message, "thing.happened")
        (letter,) = await dead_letters(channel, 1)
    assert letter.headers["x-attempts"] in (1, 1001)


async def test_an_event_that_cannot_be_written_by_itself_is_set_aside_with_its_whole_message(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    bad, good = happened(), happened()

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        if any(event.data.order_id in orders(bad) for event in events):
            raise Rejected("unknown-order", "never heard of it")
        await take_notes(events, unit)

    deep = orjson.dumps(bad)[:-1] + b', "extension": ' + b"[" * 300 + b"]" * 300 + b"}"
    body = b"[" + deep + b"," + orjson.dumps(good) + b"]"
    async with running(use_case):
        await send(channel, content_type=BATCH, body=body)
        (letter,) = await dead_letters(channel, 1)
        await eventually(lambda: equals(noted(database), orders(good)))
    assert (letter.body, letter.content_type) == (body, BATCH)


async def test_what_was_delivered_before_is_taken_one_at_a_time(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    """It may be what killed the process."""
    gates = [asyncio.Event() for _ in range(4)]
    entered = 0

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal entered
        entered += 1
        await gates[entered - 1].wait()
        await take_notes(events, unit)

    async def stands(taken: int, waiting: int) -> bool:
        queue = await channel.declare_queue(SERVICE, passive=True)
        return (entered, queue.declaration_result.message_count) == (taken, waiting)

    async with running(take_notes):
        pass  # makes the queue
    events = [happened() for _ in range(7)]
    for event in events:
        await send(channel, event)
    for delivered_before in [await (await channel.get_queue(SERVICE)).get() for _ in range(2)]:
        await delivered_before.nack()
    await eventually(partial(stands, 0, 7))
    async with running(use_case):
        for taken in (1, 2, 3):
            await eventually(partial(stands, taken, 7 - taken))
            gates[taken - 1].set()
        await eventually(partial(stands, 4, 0))
        gates[3].set()
        await eventually(lambda: equals(noted(database), orders(*events)))


async def test_an_outage_pauses_the_consumer_and_costs_no_attempt(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    failures = 0

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal failures
        if failures < 5:
            failures += 1
            raise Unavailable("the database is away")
        await take_notes(events, unit)

    events = [happened(), happened()]
    async with running(use_case):
        await send(channel, *events)
        await eventually(lambda: equals(noted(database), orders(*events)))
    assert failures == 5
    await dead_letters(channel, 0)


async def test_a_batch_in_hand_is_finished_at_shutdown_and_the_rest_goes_back(
    running: Running, channel: AbstractChannel, database: Database
) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        began.set()
        await gate.wait()
        await take_notes(events, unit)

    first, second = happened(), happened()
    async with running(use_case) as consumer:
        await send(channel, first)
        await began.wait()
        await send(channel, second)
        stopping = asyncio.create_task(consumer.stop())
        gate.set()
        await stopping
    assert await noted(database) == orders(first)
    async with running(take_notes):
        await eventually(lambda: equals(noted(database), orders(first, second)))


async def test_events_of_an_interrupted_batch_come_again(
    running: Running, channel: AbstractChannel, database: Database, broker: Broker
) -> None:
    began = asyncio.Event()
    interrupted = False

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            began.set()
            await asyncio.Event().wait()
        await take_notes(events, unit)

    event = happened()
    async with running(use_case) as consumer:
        await send(channel, event)
        await began.wait()
        await consumer.detach()  # as a lost connection does
        await eventually(lambda: equals(noted(database), orders(event)), seconds=30)
