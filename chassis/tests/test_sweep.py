"""The sweep of the outbox: one process alone mends whatever it, or a dead one, left unsent. Each test is of one replica
unless it says otherwise: nothing may need a second one to come right."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from aio_pika.abc import AbstractQueue
from chassis.messaging.publisher import Publisher
from chassis.messaging.topology import EXCHANGE
from chassis.ports.errors import Interrupted, Unavailable
from chassis.postgres.database import Database
from chassis.postgres.outbox import OutboxRows
from chassis.testing import eventually
from tests.note_service import SERVICE, NotesUnitOfWork, outbox_size
from tests.watch import NOBODY_READS, SlowBroker, committed, grow_old, is_empty, left_behind, seen


async def sweepers(observer: asyncpg.Connection) -> int:
    """How many sessions have a sweeper's lock."""
    return int(
        await observer.fetchval(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
    )


async def nobody_sweeps(observer: asyncpg.Connection) -> bool:
    return await sweepers(observer) == 0


async def test_an_event_that_was_not_taken_is_sent_by_the_same_process_once_it_can_be(
    units: Callable[[], NotesUnitOfWork], watch: AbstractQueue, database: Database, publisher: Publisher
) -> None:
    await watch.unbind(EXCHANGE, "note.taken")
    async with committed(units, 2) as ids:
        await publisher.stop()  # it has tried
        await grow_old(database)
        await publisher.sweep()
        assert await outbox_size(database) == 2
        await watch.bind(EXCHANGE, "note.taken")
        await publisher.sweep()
        assert sorted(await seen(watch, 2)) == sorted(ids)
    assert await is_empty(database)


async def test_an_event_that_is_on_its_way_is_not_sent_again_by_the_sweep(
    slow_units: Callable[[], NotesUnitOfWork], database: Database, slow: SlowBroker, slow_publisher: Publisher
) -> None:
    async with committed(slow_units, 2):
        await grow_old(database)
        await slow_publisher.sweep()
        assert slow.events() == {"note.taken": 2}
    slow.confirms.set()
    await eventually(lambda: is_empty(database))


async def test_a_sweep_begins_anew_wherever_the_one_before_it_ended(
    database: Database, publisher: Publisher, watch: AbstractQueue
) -> None:
    """Ids are made before their transactions are committed, so a lower one may come later."""
    for number in (3, 2, 1):
        ids = await left_behind(database, ids=[UUID(int=number)])
        await publisher.sweep()
        assert await seen(watch, 1) == ids
        assert await is_empty(database)


async def test_a_fresh_row_beside_an_old_one_is_left_to_the_process_that_committed_it(
    database: Database, publisher: Publisher, watch: AbstractQueue
) -> None:
    await left_behind(database, 1, age_seconds=0)
    ids = await left_behind(database, 1)
    await publisher.sweep()
    assert await seen(watch, 1) == ids
    assert await outbox_size(database) == 1


async def test_what_cannot_be_sent_is_tried_once_a_sweep_and_holds_up_nothing_behind_it(
    database: Database, slow: SlowBroker, slow_publisher: Publisher
) -> None:
    """More of it than is read at a time, and also as the last row of all."""
    slow.confirms.set()
    await left_behind(database, routing_key=NOBODY_READS, ids=[UUID(int=number) for number in range(1, 1_101)])
    await left_behind(database, ids=[UUID(int=2_000), UUID(int=2_001)])
    await left_behind(database, routing_key=NOBODY_READS, ids=[UUID(int=3_000)])
    for _ in range(2):
        slow.messages.clear()
        await slow_publisher.sweep()
        assert slow.events()[NOBODY_READS] == 1_101
        assert len(slow.messages) < 20, "what is left behind is sent coalesced"
    assert await outbox_size(database) == 1_101


@pytest.mark.parametrize(("reason", "tried"), [(TimeoutError(), 1000), (ValueError(), 1001)])
async def test_a_sweep_ends_when_the_broker_answers_nothing_any_more_but_not_when_it_refuses(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    slow: SlowBroker,
    slow_publisher: Publisher,
    reason: Exception,
    tried: int,
) -> None:
    publish = slow.publish

    async def fail(*message: Any) -> None:
        await publish(*message)
        raise Unavailable("the broker did not confirm") from reason

    monkeypatch.setattr(slow, "publish", fail)
    slow.confirms.set()
    await left_behind(database, 1001)
    await slow_publisher.sweep()
    assert sum(slow.events().values()) == tried


async def test_a_sweep_ends_when_the_broker_goes(
    database: Database, slow: SlowBroker, slow_publisher: Publisher
) -> None:
    await left_behind(database, routing_key=NOBODY_READS, ids=[UUID(int=number) for number in range(1, 1_101)])
    sweeping = asyncio.create_task(slow_publisher.sweep())
    await eventually(lambda: slow.messages)
    slow.there = False
    slow.confirms.set()
    await sweeping
    assert slow.events() == {NOBODY_READS: 1_000}


@pytest.mark.parametrize("end", ["sent", "database error", "cancelled"])
async def test_the_sweepers_lock_is_free_however_a_sweep_ends(
    database: Database, observer: asyncpg.Connection, slow: SlowBroker, slow_publisher: Publisher, end: str
) -> None:
    await left_behind(database, 3)
    sweeping = asyncio.create_task(slow_publisher.sweep())
    await eventually(lambda: slow.messages)
    assert await sweepers(observer) == 1
    if end == "cancelled":
        sweeping.cancel()
    if end == "database error":
        await observer.execute("ALTER TABLE outbox RENAME COLUMN routing_key TO other")
    slow.confirms.set()
    with suppress(asyncio.CancelledError, Interrupted):
        await sweeping
        assert end == "sent"
    if end == "database error":
        await observer.execute("ALTER TABLE outbox RENAME COLUMN other TO routing_key")
    await eventually(lambda: nobody_sweeps(observer))

    await left_behind(database, 1)
    await slow_publisher.sweep()
    assert await is_empty(database)
    assert await nobody_sweeps(observer)


async def test_while_one_replica_sweeps_the_others_and_no_other_service_leave_it_to_it(
    database: Database, database_url: str, observer: asyncpg.Connection, slow: SlowBroker, slow_publisher: Publisher
) -> None:
    await observer.execute("DROP SCHEMA IF EXISTS another CASCADE; CREATE SCHEMA another")
    await observer.execute("CREATE TABLE another.outbox (LIKE public.outbox INCLUDING ALL)")
    another = Database(lambda: database_url, pool_size=10, service=SERVICE, schema="another")
    other_broker = SlowBroker()
    other_broker.confirms.set()
    await left_behind(database, 2)
    await left_behind(another, 1)
    sweeping = asyncio.create_task(slow_publisher.sweep())
    await eventually(lambda: slow.messages)

    await Publisher(OutboxRows(database), other_broker, SERVICE).sweep()
    assert other_broker.messages == []
    await Publisher(OutboxRows(another), other_broker, SERVICE).sweep()
    assert other_broker.messages == [("note.taken", 1)]
    assert await is_empty(another)

    slow.confirms.set()
    await sweeping
    assert await is_empty(database)
    await another.stop()
    await observer.execute("DROP SCHEMA another CASCADE")
