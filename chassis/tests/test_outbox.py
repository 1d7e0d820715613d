"""The transactional outbox, on a real broker and a real database."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import orjson
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from chassis.messaging import publisher as publisher_module
from chassis.messaging.broker import Broker
from chassis.messaging.publisher import (
    EVENTS_PUBLISHED,
    MESSAGES_PUBLISHED,
    OUTBOX_AGE_SECONDS,
    OUTBOX_BACKLOG,
    Publisher,
)
from chassis.messaging.topology import EXCHANGE
from chassis.ports.ids import uuid7
from chassis.postgres import outbox as outbox_module
from chassis.postgres.database import Database
from chassis.postgres.outbox import OutboxRows
from chassis.testing import eventually
from tests.note_service import SERVICE, Note, NotesUnitOfWork, outbox_size
from tests.watch import (
    NOBODY_READS,
    SlowBroker,
    committed,
    grow_old,
    is_empty,
    left_behind,
    seen,
    value_of,
    waiting_for_a_lock,
)


async def test_a_committed_event_leaves_before_its_unit_goes_on(
    units: Callable[[], NotesUnitOfWork], watch: AbstractQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = bytearray()
    write = asyncio.StreamWriter.write

    def noted(writer: asyncio.StreamWriter, data: bytes) -> None:
        written.extend(data)
        write(writer, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", noted)
    order_id = uuid7()
    async with units() as unit:
        await unit.start()
        unit.notes.add(Note.take(order_id))
        await unit.commit()
        assert str(order_id).encode() in written
    assert len(await seen(watch, 1)) == 1


async def test_committed_events_are_published_coalesced_and_their_rows_deleted(
    units: Callable[[], NotesUnitOfWork], watch: AbstractQueue, database: Database
) -> None:
    async with committed(units, 250) as ids:
        assert await seen(watch, 250) == ids
    await eventually(lambda: is_empty(database))


async def test_what_is_rolled_back_is_never_published(
    units: Callable[[], NotesUnitOfWork], watch: AbstractQueue, database: Database
) -> None:
    async with units() as unit:
        await unit.start()
        unit.notes.add(Note.take(uuid7()))
    async with committed(units, 1) as ids:
        assert await seen(watch, 1) == ids
    await eventually(lambda: is_empty(database))


async def test_what_a_crash_leaves_behind_is_published_by_the_sweep(
    database: Database, publisher: Publisher, watch: AbstractQueue
) -> None:
    ids = await left_behind(database, 3)
    await publisher.sweep()
    assert sorted(await seen(watch, 3)) == sorted(ids)
    await eventually(lambda: is_empty(database))


async def test_a_fresh_row_is_left_to_the_process_that_committed_it(
    database: Database, publisher: Publisher, watch: AbstractQueue
) -> None:
    await left_behind(database, 1, age_seconds=0)
    await publisher.sweep()
    assert await outbox_size(database) == 1


async def test_two_sweepers_publish_nothing_twice(
    database: Database, broker: Broker, publisher: Publisher, watch: AbstractQueue
) -> None:
    ids = await left_behind(database, 200)
    replica = Publisher(OutboxRows(database), broker, SERVICE)
    await asyncio.gather(publisher.sweep(), replica.sweep())
    assert sorted(await seen(watch, 200)) == sorted(ids)
    await publisher.stop()
    await replica.stop()
    assert await watch.get(no_ack=True, fail=False) is None


async def test_an_event_that_no_queue_takes_stays_and_shows_and_holds_up_no_other(
    database: Database, publisher: Publisher, watch: AbstractQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "STUCK_AFTER_SECONDS", 5)
    await left_behind(database, 2, routing_key="nobody.reads")
    (id_of_third,) = await left_behind(database, 1)
    await publisher.sweep()
    assert await seen(watch, 1) == [id_of_third]
    await publisher.stop()
    assert await outbox_size(database) == 2
    assert "has waited" in (await publisher.problem() or "")


@pytest.mark.parametrize(
    ("age_seconds", "number", "there", "takes"),
    [(30, 3, True, False), (10, 3, True, True), (30, 2, True, True), (0, 0, False, False), (0, 0, True, True)],
)
async def test_nothing_is_said_again_while_what_was_said_first_piles_up(
    database: Database,
    slow: SlowBroker,
    slow_publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    age_seconds: int,
    number: int,
    there: bool,
    takes: bool,
) -> None:
    monkeypatch.setattr(publisher_module, "MAX_EVENTS_IN_MEMORY", 2)
    if number:
        await left_behind(database, number, age_seconds=age_seconds, routing_key=NOBODY_READS)
    slow.there = there
    slow.confirms.set()
    await slow_publisher.sweep()
    assert slow_publisher.takes_repeats is takes


async def test_events_committed_while_the_broker_is_away_go_when_it_is_back(
    units: Callable[[], NotesUnitOfWork],
    database: Database,
    broker: Broker,
    publisher: Publisher,
    channel: AbstractChannel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox_module, "LEFT_BEHIND_AFTER_SECONDS", 0)
    async with committed(units, 2) as ids:
        assert await outbox_size(database) == 2
        await broker.start()
        await eventually(lambda: broker.connected)
        queue = await channel.declare_queue("watch", durable=True)
        await queue.bind(EXCHANGE, "note.taken")
        await publisher.sweep()
        assert sorted(await seen(queue, 2)) == sorted(ids)
    await eventually(lambda: is_empty(database))


async def test_nothing_is_tried_while_the_broker_is_away(
    slow_units: Callable[[], NotesUnitOfWork], slow: SlowBroker, database: Database
) -> None:
    slow.there = False
    async with committed(slow_units, 1):
        assert slow.messages == []
        assert await outbox_size(database) == 1


async def test_more_than_memory_may_hold_is_left_to_the_sweep(
    units: Callable[[], NotesUnitOfWork],
    database: Database,
    watch: AbstractQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher_module, "MAX_EVENTS_IN_MEMORY", 4)
    async with committed(units, 5):
        assert await outbox_size(database) == 5
    async with committed(units, 4) as ids:
        assert await seen(watch, 4) == ids


async def test_a_repeat_says_so_and_has_an_id_of_its_own(
    units: Callable[[], NotesUnitOfWork], observer: asyncpg.Connection
) -> None:
    note = Note.take(uuid7())
    note.repeats = note.events
    async with units() as unit:
        await unit.start()
        unit.notes.add(note)
        await unit.commit()
    first, again = (orjson.loads(body) for (body,) in await observer.fetch("SELECT body FROM outbox ORDER BY id"))
    assert again == first | {"id": again["id"], "repeat": True}
    assert again["id"] != first["id"]


async def test_what_is_confirmed_while_rows_are_deleted_or_after_it_is_deleted_too(
    slow_units: Callable[[], NotesUnitOfWork],
    slow: SlowBroker,
    database: Database,
    observer: asyncpg.Connection,
) -> None:
    async with committed(slow_units, 1) as (order_id,):
        transaction = observer.transaction()
        await transaction.start()
        await observer.execute("SELECT 1 FROM outbox WHERE order_id = $1 FOR UPDATE", order_id)
        slow.confirms.set()
        await eventually(lambda: waiting_for_a_lock(database))
    async with committed(slow_units, 1):
        await transaction.rollback()
        await eventually(lambda: is_empty(database))
    async with committed(slow_units, 1):
        await eventually(lambda: is_empty(database))


async def test_rows_that_could_not_be_deleted_are_sent_once_more_and_then_deleted(
    slow_units: Callable[[], NotesUnitOfWork],
    slow: SlowBroker,
    slow_publisher: Publisher,
    database: Database,
    observer: asyncpg.Connection,
) -> None:
    async with committed(slow_units, 1) as (order_id,), observer.transaction():
        await observer.execute("SELECT 1 FROM outbox WHERE order_id = $1 FOR UPDATE", order_id)
        slow.confirms.set()
        await eventually(lambda: waiting_for_a_lock(database))
        await observer.execute("SELECT pg_cancel_backend($1)", *await waiting_for_a_lock(database))
        await slow_publisher.stop()
    await grow_old(database)
    await slow_publisher.sweep()
    assert await is_empty(database)
    assert slow.events() == {"note.taken": 2}


async def test_what_is_on_its_way_at_shutdown_is_confirmed_and_deleted_first(
    slow_units: Callable[[], NotesUnitOfWork], slow: SlowBroker, slow_publisher: Publisher, database: Database
) -> None:
    async with committed(slow_units, 3):
        stopping = asyncio.create_task(slow_publisher.stop())
        slow.confirms.set()
        await stopping
        assert await is_empty(database)


async def test_a_shutdown_goes_on_when_rows_can_no_longer_be_deleted(
    slow_units: Callable[[], NotesUnitOfWork],
    slow: SlowBroker,
    slow_publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    async def cancelled(_rows: OutboxRows, ids: list[UUID]) -> None:
        tried.extend(ids)
        raise asyncio.CancelledError

    monkeypatch.setattr(OutboxRows, "delete", cancelled)
    async with committed(slow_units, 1):
        slow.confirms.set()
        stopping = asyncio.create_task(slow_publisher.stop())
        await asyncio.wait([stopping])
        assert len(tried) == 1
        assert not stopping.cancelled()


async def test_the_metrics_tell_what_was_confirmed_and_what_waits_and_for_how_long(
    slow_units: Callable[[], NotesUnitOfWork], slow: SlowBroker, slow_publisher: Publisher, database: Database
) -> None:
    confirmed = [EVENTS_PUBLISHED.labels("NoteTaken"), MESSAGES_PUBLISHED]
    before = [value_of(metric) for metric in confirmed]
    async with committed(slow_units, 3):
        await left_behind(database, 1, age_seconds=3)
        await slow_publisher.sweep()
        assert value_of(OUTBOX_BACKLOG) == 4
        assert value_of(OUTBOX_AGE_SECONDS) >= 3
        assert [value_of(metric) for metric in confirmed] == before
        slow.confirms.set()
        await slow_publisher.stop()
    assert [value_of(metric) for metric in confirmed] == [before[0] + 3, before[1] + 1]
    await slow_publisher.sweep()
    assert value_of(OUTBOX_BACKLOG) == 1
