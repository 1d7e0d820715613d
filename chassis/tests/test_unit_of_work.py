"""One transaction: what was taken in, its effect and its events; what follows a commit never comes before it."""

from collections.abc import Callable

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from aio_pika.abc import AbstractQueue
from chassis.ports.events import Received
from chassis.ports.ids import uuid7
from chassis.postgres.database import Database
from chassis.postgres.unit_of_work import EVENTS_UNCHANGED, REMINDERS
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.note_service import SERVICE, NotesUnitOfWork, ThingHappened, outbox_size, take_notes
from tests.watch import committed, seen, value_of

_REFUSE_AT_COMMIT = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON notes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def an_event() -> Received:
    order_id = uuid7()
    return Received(uuid7(), "ThingHappened", str(order_id), None, ThingHappened(order_id), None)


async def test_what_was_taken_in_and_its_effect_and_its_events_are_one_transaction(
    units: Callable[[], NotesUnitOfWork], observer: asyncpg.Connection
) -> None:
    event = an_event()
    async with units() as unit:
        await take_notes(await unit.take_in(SERVICE, [event]), unit)
        await unit.commit()
    transactions = [
        await observer.fetchval(f"SELECT xmin::text FROM {table}") for table in ("inbox", "notes", "outbox")
    ]
    assert len(set(transactions)) == 1
    assert None not in transactions


async def test_a_commit_that_fails_is_followed_by_nothing(
    units: Callable[[], NotesUnitOfWork], database: Database, observer: asyncpg.Connection, watch: AbstractQueue
) -> None:
    acts = []
    await observer.execute(_REFUSE_AT_COMMIT)
    try:
        async with units() as unit:
            await unit.start()
            await take_notes([an_event()], unit)
            unit.after_commit(lambda: acts.append("failed"))
            with pytest.raises(DBAPIError, match="not today"):
                await unit.commit()
    finally:
        await observer.execute("DROP FUNCTION refuse CASCADE")
    async with committed(units, 1) as ids:
        assert await seen(watch, 1) == ids
    assert acts == []


async def test_what_must_happen_after_the_commit_happens_once_it_is_durable(
    units: Callable[[], NotesUnitOfWork],
) -> None:
    acts = []
    unchanged = EVENTS_UNCHANGED.labels("ThingHappened")
    before = value_of(unchanged)
    async with units() as unit:
        await unit.start()
        unit.after_commit(lambda: acts.append("done"))
        unit.unchanged(an_event())
        unit.reminded("someone")
        assert (acts, value_of(unchanged)) == ([], before)
        await unit.commit()
    assert (acts, value_of(unchanged)) == (["done"], before + 1)
    assert value_of(REMINDERS.labels("someone")) == 1


async def test_a_unit_that_hears_nothing_from_the_database_makes_the_pool_anew(
    units: Callable[[], NotesUnitOfWork], database: Database
) -> None:
    async def pid() -> int:
        async with units() as unit:
            return int((await unit.connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())

    async def hear_nothing() -> None:
        async with units() as unit:
            await unit.start()
            raise TimeoutError

    before = await pid()
    assert await pid() == before
    with pytest.raises(TimeoutError):
        await hear_nothing()
    assert await pid() != before
    assert await outbox_size(database) == 0
