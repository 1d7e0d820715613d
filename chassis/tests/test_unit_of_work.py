"""One transaction: what was taken in, its effect and its events; what follows a commit never comes before it."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from aio_pika.abc import AbstractQueue
from chassis.ports.errors import Interrupted
from chassis.ports.events import Outgoing, Received
from chassis.ports.ids import uuid7
from chassis.postgres import outbox
from chassis.postgres.database import Database
from chassis.postgres.outbox import OutboxRows
from chassis.postgres.unit_of_work import EVENTS_UNCHANGED, REMINDERS
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.note_service import SERVICE, TRACE, NotesUnitOfWork, ThingHappened, outbox_size, take_notes
from tests.parcels import (
    GREATEST,
    LEAST,
    ParcelsUnitOfWork,
    Store,
    Told,
    a_parcel,
)
from tests.watch import committed, seen, value_of

_REFUSE_AT_COMMIT = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON notes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def an_event() -> Received:
    order_id = uuid7()
    return Received(uuid7(), "ThingHappened", str(order_id), "", ThingHappened(order_id), None)


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


async def test_what_is_left_without_a_commit_was_never_done(store: Store) -> None:
    known, added = a_parcel(), a_parcel()
    await store.add(known)
    for error in (None, ValueError("in a use case")):
        try:
            async with store.unit() as unit:
                (await unit.parcels.locked([known.order_id]))[known.order_id].attempts = 1
                unit.parcels.add(added).tell("added")
                await unit.parcels.insert_added()
                await unit.parcels.save_changed()
                if error:
                    raise error
        except ValueError:
            assert error
        assert await store.kept(known.order_id, added.order_id) == [known]
    assert store.publisher.published == []
    await store.change(known.order_id, attempts=2)  # its lock is gone with the unit


async def test_events_are_published_after_the_commit_in_the_order_of_keys_and_repeats_as_such(store: Store) -> None:
    first, second, third = a_parcel(LEAST, traceparent="trace of the first"), a_parcel(), a_parcel(GREATEST)
    await store.add(third)
    async with store.unit() as unit:
        told_last = (await unit.others.locked([third.order_id]))[third.order_id]
        told_last.tell("unchanged otherwise")
        for parcel in (second, first):
            unit.parcels.add(parcel)
        for what in ("one", "two"):
            second.tell(what)
            first.tell(what)
        first.repeats.append(Told(first.order_id, "again"))
        assert store.publisher.published == []
        await unit.commit()
    assert [(told.event, told.traceparent, told.repeat) for told in store.publisher.published] == [
        (Told(LEAST, "one"), "trace of the first", False),
        (Told(LEAST, "two"), "trace of the first", False),
        (Told(LEAST, "again"), "trace of the first", True),
        (Told(second.order_id, "one"), TRACE, False),
        (Told(second.order_id, "two"), TRACE, False),
        (Told(GREATEST, "unchanged otherwise"), TRACE, False),
    ]
    assert {told.time for told in store.publisher.published} == {unit.now}
    assert len({told.event_id for told in store.publisher.published}) == 6
    assert (await OutboxRows(store.database).backlog())[0] == 6


async def test_a_commit_that_fails_publishes_nothing_and_is_followed_by_nothing(store: Store) -> None:
    parcel, acts = a_parcel(), list[str]()
    async with store.unit() as unit:
        unit.parcels.add(parcel).tell("added")
        unit.after_commit(lambda: acts.append("committed"))
        unit.watched.commit_fails_with = Interrupted("the server has gone")
        with pytest.raises(Interrupted):
            await unit.commit()
    assert (store.publisher.published, acts) == ([], [])
    assert await store.kept(parcel.order_id) == []


async def test_what_a_crash_leaves_behind_are_the_committed_events_and_one_process_at_a_time_has_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEFT_BEHIND_AFTER_SECONDS", -1)
    sent: list[Outgoing] = []
    monkeypatch.setattr(store.publisher, "send", sent.extend)
    parcel = a_parcel()
    parcel.tell("one")
    parcel.tell("two")
    await store.add(parcel)
    rows = OutboxRows(store.database)
    async with aclosing(rows.left_behind()) as sweep:
        assert await anext(sweep) == sent
        assert [batch async for batch in rows.left_behind()] == [], "another one sweeps"
        assert [batch async for batch in sweep] == []
    await rows.delete([sent[0].id])
    assert [batch async for batch in rows.left_behind()] == [sent[1:]]


async def test_an_event_is_taken_in_once_even_by_transactions_at_the_same_time(store: Store) -> None:
    event = Received(uuid7(), "Happened", "", "", None, None)

    async def take() -> bool:
        async with ParcelsUnitOfWork(store.database, store.publisher) as unit:
            fresh = await unit.take_in("parcel-service", [event, event])
            await asyncio.sleep(0)
            await unit.commit()
            assert fresh in ([event], [])
            return bool(fresh)

    assert sorted(await asyncio.gather(*(take() for _ in range(5)))) == [False] * 4 + [True]


async def test_a_second_belongs_to_one_unit_of_all_and_one_that_is_rolled_back_leaves_it_to_another(
    store: Store,
) -> None:
    async def ask(second: int, *, commits: bool = True) -> bool:
        async with store.unit() as unit:
            unit.now = datetime.fromtimestamp(second + 0.999, UTC)
            first = await unit.first_this_second()
            if commits:
                await unit.commit()
            return first

    assert await ask(1, commits=False)
    assert sorted(await asyncio.gather(*(ask(1) for _ in range(5)))) == [False] * 4 + [True]
    assert await ask(2)
