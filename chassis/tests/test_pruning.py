"""Pruning in batches, beside transactions that want the same rows; what each table forgets is tested in its service."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.ports.ids import RecentIds, uuid7
from chassis.ports.unit_of_work import Claim
from chassis.postgres import idempotency, inbox
from chassis.postgres.database import Database
from chassis.postgres.repository import delete_in_batches
from chassis.testing import eventually
from sqlalchemy import event
from tests.note_service import SERVICE, NotesUnitOfWork
from tests.watch import waiting_for_a_lock

OLD = "now() - interval '1000 days'"


async def test_what_is_old_goes_ten_thousand_rows_a_transaction(
    database: Database, observer: asyncpg.Connection
) -> None:
    await observer.execute(
        "INSERT INTO inbox SELECT 'a', gen_random_uuid(), now() FROM generate_series(1, 5)"
        f" UNION ALL SELECT 'a', gen_random_uuid(), {OLD} FROM generate_series(1, 20001)"
    )
    batches = []

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        batches.append(cursor.rowcount)

    async with database.autocommit() as connection:
        event.listen(database.engine.sync_engine, "after_cursor_execute", note)
        await delete_in_batches(connection, inbox.PRUNE)
    assert batches == [10_000, 10_000, 1, 0]
    assert await observer.fetchval("SELECT count(*) FROM inbox") == 5
    assert await observer.fetchval("SELECT count(DISTINCT xmin::text) FROM inbox") == 1


@pytest.mark.parametrize("renewed", [True, False])
async def test_an_old_row_that_another_transaction_has_stays_if_that_renews_it(
    database: Database, observer: asyncpg.Connection, renewed: bool
) -> None:
    first, second = Claim("ann", "key", b"1", uuid7()), Claim("ann", "key", b"2", uuid7())
    async with database.engine.begin() as connection:
        await idempotency.claim(connection, [first])
    await observer.execute(f"UPDATE idempotency_keys SET created_at = {OLD}")

    async def prune() -> None:
        async with database.autocommit() as connection:
            await delete_in_batches(connection, idempotency.PRUNE)

    renewing = await database.connect()
    assert await idempotency.claim(renewing, [second]) == {second.resource_id: second}
    pruning = asyncio.create_task(prune())
    await eventually(lambda: waiting_for_a_lock(database))
    await (renewing.commit() if renewed else renewing.rollback())
    await renewing.close()
    await pruning
    assert await observer.fetch("SELECT resource_id FROM idempotency_keys") == (
        [(second.resource_id,)] if renewed else []
    )


async def test_an_event_is_remembered_for_each_consumer_by_itself(database: Database) -> None:
    event_id = uuid7()
    async with database.engine.begin() as connection:
        for consumer in ("one", "other"):
            _, fresh = await inbox.take_in(connection, consumer, [event_id])
            assert fresh == {event_id}
            _, fresh = await inbox.take_in(connection, consumer, [event_id])
            assert fresh == set()


async def test_transactions_take_the_same_events_in_one_order_and_never_wait_in_a_circle(
    units: Callable[[], NotesUnitOfWork], database: Database
) -> None:
    """Whoever waits for the least id has none of the others yet."""
    ids = sorted(uuid7() for _ in range(50))

    async def take(*wanted: Any) -> set[Any]:
        async with database.engine.begin() as connection:
            return (await inbox.take_in(connection, SERVICE, wanted))[1]

    async with database.engine.begin() as connection:
        await inbox.take_in(connection, SERVICE, ids[:1])
        waiting = asyncio.create_task(take(*reversed(ids)))
        await eventually(lambda: waiting_for_a_lock(database))
        assert await take(*ids[1:]) == set(ids[1:])
    assert await waiting == set()


def test_in_memory_the_ids_seen_last_are_remembered() -> None:
    ids = [uuid7() for _ in range(4)]
    recent = RecentIds(capacity=3)
    for number in (0, 1, 2, 0, 3):
        recent.add(ids[number])
    assert [event_id in recent for event_id in ids] == [True, False, True, True]
