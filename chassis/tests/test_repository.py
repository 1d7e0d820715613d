"""What every repository does, once for all services: on PostgreSQL, and on the stand-in that must do the same."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from chassis.ports.errors import Conflict, Interrupted
from chassis.ports.events import Outgoing, Received
from chassis.ports.ids import uuid7
from chassis.postgres import outbox
from chassis.postgres.outbox import OutboxRows
from chassis.postgres.repository import Mapped, delete_in_batches
from chassis.testing.memory import MemoryDatabase
from sqlalchemy import text
from tests.note_service import TRACE
from tests.parcels import (
    DUE,
    FRAGILE_DUE,
    OF_COURIER,
    OF_STATUS,
    OLD_LOST,
    PARCELS,
    TO_REMIND,
    WAITING_FOR,
    WITH_REASON,
    Line,
    Parcel,
    ParcelsUnitOfWork,
    PostgresParcels,
    Status,
    Stop,
    Store,
    Told,
    a_parcel,
    keys,
    parcels,
)

FAR = datetime(2100, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
LEAST, GREATEST = UUID(int=1), UUID(int=(1 << 128) - 1)

FIRST = Parcel(
    id=uuid7(),
    order_id=uuid7(),
    courier_id=uuid7(),
    status=Status.WAITING,
    status_before=Status.LOST,
    reason='ü "quoted" \\ {null}\n%s :name $1',
    worth=Decimal("9999999999.99"),
    charge=Decimal("0.01"),
    attempts=2**31 - 1,
    grams=2**63 - 1,
    fragile=True,
    lines=(Line(uuid7(), 2, Decimal("19.99")), Line(uuid7(), 10_000, Decimal("999999.90"))),
    stops=(Stop(FAR, Status.WAITING), Stop(FAR + timedelta(microseconds=1), Status.LOST, "nobody at home")),
    expires_at=FAR,
    remind_at=FAR + timedelta(days=1),
    traceparent=TRACE,
)
SECOND = Parcel(
    id=uuid7(),
    order_id=uuid7(),
    courier_id=None,
    status=Status.DELIVERED,
    status_before=None,
    reason=None,
    worth=Decimal("-0.10"),
    charge=None,
    attempts=-1,
    grams=-(2**63),
    fragile=False,
    lines=(),
    stops=None,
    expires_at=datetime(1970, 1, 1, tzinfo=UTC),
    remind_at=None,
    traceparent="",
)
CHANGED = replace(SECOND, id=FIRST.id, order_id=FIRST.order_id)
"""FIRST as it is later: every column is another one, but for its keys."""


async def test_every_column_is_written_and_read_back_as_it_was(store: Store) -> None:
    await store.add(FIRST, SECOND)
    found = await store.kept(FIRST.order_id, SECOND.order_id)
    assert found == [FIRST, SECOND]
    assert found[0].status is Status.WAITING, "a StrEnum, which its text would equal as well"
    assert found[0].status_before is Status.LOST
    assert found[0].stops is not None
    assert found[0].stops[1].status is Status.LOST
    assert found[0].fragile is True
    assert found[0].events == found[0].repeats == []

    async with store.unit() as unit:
        loaded = (await unit.parcels.locked([FIRST.order_id]))[FIRST.order_id]
        vars(loaded).update({name: value for name, value in vars(CHANGED).items() if name != "events"})
        await unit.commit()
    assert await store.kept(FIRST.order_id, SECOND.order_id) == [CHANGED, SECOND]


async def test_what_an_aggregate_derives_is_a_column_too(store: Store) -> None:
    async def waiting() -> list[Parcel]:
        async with store.reading() as repository:
            return await repository.read(WAITING_FOR, due_at=FAR)

    await store.add(FIRST, replace(SECOND, expires_at=FAR))
    assert keys(await waiting()) == [FIRST.order_id]
    await store.change(FIRST.order_id, status=Status.LOST)
    assert await waiting() == []


async def test_a_time_is_the_same_instant_in_whatever_zone_it_was_given(store: Store) -> None:
    elsewhere = FAR.astimezone(timezone(timedelta(hours=5, minutes=30)))
    parcel = a_parcel(expires_at=elsewhere, stops=(Stop(elsewhere, Status.WAITING),))
    await store.add(parcel)
    assert await store.kept(parcel.order_id) == [parcel]


async def test_only_rows_that_changed_are_written_and_of_these_the_columns_that_differ_in_any(store: Store) -> None:
    first, second, third = (a_parcel() for _ in range(3))
    await store.add(first, second, third)
    async with store.unit() as unit:
        found = await unit.parcels.locked([first.order_id, second.order_id, third.order_id])
        found[third.order_id].reason = "late"
        found[first.order_id].attempts = 1
        found[second.order_id].attempts = 7
        found[second.order_id].attempts = second.attempts  # as it was
        found[second.order_id].tell("nothing that a row would hold")
        await unit.commit()
    [(does, parameters)] = unit.written()
    assert does == "update"
    assert orjson.loads(parameters["rows"]) == [
        {"order_id": str(first.order_id), "reason": None, "attempts": 1},
        {"order_id": str(third.order_id), "reason": "late", "attempts": 0},
    ]
    assert parameters["keys"] == [first.order_id, third.order_id]
    assert await store.kept(first.order_id, second.order_id, third.order_id) == [
        replace(first, attempts=1),
        second,
        replace(third, reason="late"),
    ]


async def test_a_column_that_does_not_differ_is_left_as_something_else_in_the_transaction_wrote_it(
    store: Store,
) -> None:
    parcel = a_parcel()
    await store.add(parcel)
    async with store.unit() as unit:
        ours = (await unit.parcels.locked([parcel.order_id]))[parcel.order_id]
        theirs = (await unit.others.locked([parcel.order_id]))[parcel.order_id]
        ours.attempts, ours.status = 1, Status.LOST
        theirs.reason = "late"
        await unit.commit()
    assert await store.kept(parcel.order_id) == [replace(parcel, attempts=1, status=Status.LOST, reason="late")]


async def test_nothing_is_written_for_what_was_only_looked_at(store: Store) -> None:
    parcel = a_parcel()
    await store.add(parcel)
    async with store.unit() as unit:
        await unit.parcels.locked([parcel.order_id, uuid7()])
        (read,) = (await unit.parcels.get([parcel.order_id])).values()
        read.attempts = 1
        read.tell("nobody")
        await unit.commit()
    assert [does for does, _ in unit.watched.executed[1:]] == ["lock", "get"]
    assert await store.kept(parcel.order_id) == [parcel]
    assert store.publisher.published == []


async def test_what_is_added_is_inserted_before_anything_is_updated(store: Store) -> None:
    """In whichever repository: what has updated a row waits for nobody."""
    known, added = a_parcel(), a_parcel()
    await store.add(known)
    async with store.unit() as unit:
        (await unit.parcels.locked([known.order_id]))[known.order_id].attempts = 1
        unit.others.add(added)
        await unit.commit()
    assert [does for does, _ in unit.written()] == ["insert", "update"]
    assert await store.kept(known.order_id, added.order_id) == [replace(known, attempts=1), added]


async def test_rows_are_inserted_in_the_order_of_keys_whatever_order_they_were_added_in(store: Store) -> None:
    """A third one has the row in the middle, where those that inserted upwards and downwards would meet."""
    ids = sorted(uuid7() for _ in range(3))

    async def add(order_ids: Sequence[UUID]) -> int:
        async def act(unit: ParcelsUnitOfWork) -> int:
            known = await unit.parcels.locked(order_ids)
            for order_id in order_ids:
                if order_id not in known:
                    unit.parcels.add(a_parcel(order_id))
            return len(known)

        return await store.run(act)

    async with store.unit() as third:
        third.parcels.add(a_parcel(ids[1]))
        await third.parcels.insert_added()
        both = [asyncio.create_task(add(order_ids)) for order_ids in (ids, ids[::-1])]
        await store.waits(*both)
        async with store.unit() as fourth, asyncio.timeout(5):
            fourth.parcels.add(a_parcel(ids[2]))
            await fourth.parcels.insert_added()  # at once: those who wait have the first row, and not the last
    assert sorted(await asyncio.gather(*both)) == [0, 3]


async def test_a_row_that_another_transaction_has_inserted_first_is_a_conflict_and_nothing_is_kept(
    store: Store,
) -> None:
    known, contested, beside = a_parcel(), a_parcel(), a_parcel()
    await store.add(known)
    event = Received(uuid7(), "Happened", "", None, None, None)
    acts: list[str] = []
    async with ParcelsUnitOfWork(store.database, store.publisher) as unit:
        assert await unit.take_in("parcel-service", [event]) == [event]
        found = await unit.parcels.locked([known.order_id, contested.order_id])
        assert found.keys() == {known.order_id}
        found[known.order_id].attempts = 1
        for parcel in (a_parcel(contested.order_id), beside):
            unit.parcels.add(parcel).tell("added")
        unit.after_commit(lambda: acts.append("committed"))
        await store.add(contested)
        with pytest.raises(Conflict):
            await unit.commit()
    assert await store.kept(known.order_id, contested.order_id, beside.order_id) == [known, contested]
    assert (store.publisher.published, acts) == ([], [])
    assert (await OutboxRows(store.database).backlog())[0] == 0
    async with ParcelsUnitOfWork(store.database, store.publisher) as unit:
        assert await unit.take_in("parcel-service", [event]) == [event]


@pytest.mark.parametrize("first_commits", [True, False])
async def test_who_adds_a_row_waits_for_another_transaction_that_adds_it_and_is_run_again_if_that_wins(
    store: Store, first_commits: bool
) -> None:
    parcel = a_parcel(grams=1)

    async def add(unit: ParcelsUnitOfWork) -> str:
        if found := await unit.parcels.locked([parcel.order_id]):
            found[parcel.order_id].attempts += 1
            return "found"
        unit.parcels.add(replace(parcel, id=uuid7(), grams=2))
        return "added"

    async with store.unit() as first:
        first.parcels.add(parcel)
        await first.parcels.insert_added()
        second = asyncio.create_task(store.run(add))
        await store.waits(second)
        if first_commits:
            await first.connection.commit()
    assert await second == ("found" if first_commits else "added")
    [kept] = await store.kept(parcel.order_id)
    assert (kept.grams, kept.attempts) == ((1, 1) if first_commits else (2, 0))


async def test_of_many_that_add_the_same_rows_at_once_each_row_has_one_winner_whom_the_others_find(
    store: Store,
) -> None:
    ids = sorted(uuid7() for _ in range(5))

    async def count(order_ids: Sequence[UUID]) -> None:
        async def act(unit: ParcelsUnitOfWork) -> None:
            found = await unit.parcels.locked(order_ids)
            await asyncio.sleep(0)
            for order_id in order_ids:
                parcel = found.get(order_id) or unit.parcels.add(a_parcel(order_id))
                parcel.attempts += 1

        await store.run(act)

    await asyncio.gather(*(count(ids if number % 2 else ids[::-1]) for number in range(8)))
    assert [parcel.attempts for parcel in await store.kept(*ids)] == [8] * 5


async def test_who_locks_a_row_waits_for_who_has_it_and_reads_what_that_has_committed(store: Store) -> None:
    parcel = a_parcel()
    await store.add(parcel)

    async def attempts() -> int:
        async with store.unit() as unit:
            return (await unit.parcels.locked([parcel.order_id]))[parcel.order_id].attempts

    async with store.unit() as unit:
        (locked,) = (await unit.parcels.locked([parcel.order_id])).values()
        other = asyncio.create_task(attempts())
        await store.waits(other)
        locked.attempts = 5
        assert await store.kept(parcel.order_id) == [parcel], "who only reads waits for nobody"
        await unit.commit()
    assert await other == 5


async def test_what_is_locked_is_the_same_object_each_time_and_so_is_what_was_added(store: Store) -> None:
    known, added, absent = a_parcel(UUID(int=2), expires_at=FAR - timedelta(days=100_000)), a_parcel(LEAST), uuid7()
    await store.add(replace(known, expires_at=datetime.now(UTC)))
    async with store.unit() as unit:
        assert unit.parcels.add(added) is added
        found = await unit.parcels.locked([known.order_id, absent, added.order_id, known.order_id])
        assert list(found) == [added.order_id, known.order_id], "in the order of keys"
        assert found[added.order_id] is added
        found[known.order_id].reason = "changed"
        again = await unit.parcels.locked([added.order_id, known.order_id])
        assert again[added.order_id] is added
        assert again[known.order_id] is found[known.order_id]
        assert [does for does, _ in unit.watched.executed].count("lock") == 1, "what is known is not read again"
        assert await unit.parcels.locked_by(DUE, most=10) == [found[known.order_id]]
        assert list(unit.parcels) == [added, found[known.order_id]]
        await unit.commit()
    [kept] = await store.kept(known.order_id)
    assert kept.reason == "changed", "what was locked twice is saved once, with all that was done to it"


async def test_rows_are_locked_in_the_order_of_keys_whatever_order_they_are_named_in(store: Store) -> None:
    """A third one has the row in the middle: whoever locked upwards and downwards would meet there, each with a row
    that the other wants."""
    ids = sorted(uuid7() for _ in range(3))
    for order_id in ids[::-1]:
        await store.add(a_parcel(order_id, expires_at=datetime.now(UTC)))

    async def lock(order_ids: Sequence[UUID]) -> list[UUID]:
        async with store.unit() as unit:
            return list(await unit.parcels.locked(order_ids))

    async with store.unit() as unit:
        many = [uuid7() for _ in range(20)]
        for order_id in many:
            unit.parcels.add(a_parcel(order_id))
        assert list(await unit.parcels.locked(many[::-1])) == sorted(many), "use cases see them in that order as well"
    async with store.unit() as third:
        await third.parcels.locked(ids[1:2])
        both = [asyncio.create_task(lock(order_ids)) for order_ids in (ids, ids[::-1])]
        await store.waits(*both)
        async with store.unit() as fourth:
            assert keys(await fourth.parcels.locked_by(DUE, most=3)) == ids[2:], "the last row is free"
    assert await asyncio.gather(*both) == [ids, ids]


async def test_what_is_due_is_locked_oldest_first_up_to_a_limit_without_what_others_have(store: Store) -> None:
    now = datetime.now(UTC)
    ages = {age: a_parcel(expires_at=now - timedelta(seconds=age), fragile=age % 2 == 1) for age in (3, 5, 1, 4, 2)}
    final = a_parcel(status=Status.LOST, expires_at=now - timedelta(seconds=9))
    await store.add(*ages.values(), final, a_parcel())

    async def due(unit: ParcelsUnitOfWork, most: int) -> list[Parcel]:
        return await unit.parcels.locked_by(DUE, most=most)

    async with store.unit() as first, store.unit() as second, store.unit() as third:
        assert await due(first, 2) == [ages[5], ages[4]]
        assert await second.parcels.locked_by(FRAGILE_DUE, most=10, fragile=True) == [ages[3], ages[1]]
        assert await due(third, 10) == [ages[2]]
        for parcel in second.parcels:
            parcel.status = Status.DELIVERED
        await second.commit()
        assert await due(first, 10) == [ages[5], ages[4]], "its own locks keep it from nothing"
    async with store.unit() as unit:
        assert await due(unit, 10) == [ages[5], ages[4], ages[2]]
        assert await unit.parcels.locked_by(TO_REMIND, most=10) == [], "what has no time is never due"


async def test_a_page_is_the_newest_below_a_row_of_those_that_meet_the_conditions(store: Store) -> None:
    ours, others = uuid7(), uuid7()
    of_ours = [a_parcel(courier_id=ours) for _ in range(4)] + [a_parcel(courier_id=ours, id=UUID(int=2**128 - 2))]
    await store.add(*of_ours, *(a_parcel(courier_id=courier) for courier in (others, None)))
    newest = of_ours[::-1]
    async with store.reading() as repository:

        async def page(before: UUID | None, limit: int) -> list[Parcel]:
            return await repository.newest(OF_COURIER, before=before, limit=limit, courier_id=ours)

        assert await page(None, 10) == newest
        assert await page(None, 2) == newest[:2]
        assert await page(newest[1].id, 2) == newest[2:4]
        assert await page(newest[4].id, 2) == []
        assert await page(None, 0) == []


async def test_what_is_found_meets_all_conditions_and_nothing_meets_one_by_having_no_value(store: Store) -> None:
    waiting, lost = a_parcel(reason="3"), a_parcel(status=Status.LOST, reason="3")
    await store.add(waiting, lost, a_parcel(status=Status.DELIVERED), a_parcel(reason="1"))
    async with store.reading() as repository:
        assert await repository.read(OF_STATUS, status=Status.LOST) == [lost]
        assert await repository.read(WITH_REASON) == [waiting]
        assert await repository.get([waiting.order_id, uuid7(), waiting.order_id]) == {waiting.order_id: waiting}
        assert await repository.get([]) == {}


async def _prune(store: Store) -> None:
    async with store.database.autocommit() as connection:
        await delete_in_batches(connection, OLD_LOST)


async def test_pruning_deletes_what_is_past_its_time_and_meets_the_conditions(store: Store) -> None:
    past, soon = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
    goes = [a_parcel(status=Status.LOST, remind_at=past) for _ in range(3)]
    stays = [
        a_parcel(status=Status.LOST, remind_at=soon),
        a_parcel(status=Status.LOST),
        a_parcel(status=Status.DELIVERED, remind_at=past),
    ]
    await store.add(*goes, *stays)
    await _prune(store)
    assert await store.kept(*keys(goes), *keys(stays)) == stays


@pytest.mark.parametrize("renewed", [True, False])
async def test_a_row_that_another_transaction_has_while_it_is_pruned_stays_if_that_renews_it(
    store: Store, renewed: bool
) -> None:
    past, later = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
    parcel = a_parcel(status=Status.LOST, remind_at=past)
    await store.add(parcel)
    async with store.unit() as unit:
        (locked,) = (await unit.parcels.locked([parcel.order_id])).values()
        pruning = asyncio.create_task(_prune(store))
        if not isinstance(store.database, MemoryDatabase):  # the stand-in leaves what is locked to the next pruning
            await store.waits(pruning)
        locked.remind_at = later
        assert await store.kept(parcel.order_id) == [parcel]
        if renewed:
            await unit.commit()
    await pruning
    await _prune(store)
    assert await store.kept(parcel.order_id) == ([replace(parcel, remind_at=later)] if renewed else [])


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
    event = Received(uuid7(), "Happened", "", None, None, None)

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


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
async def test_what_a_field_without_a_value_leaves_is_null_in_every_kind_of_column(store: Store) -> None:
    """JSON's own null would be a value. The stand-in has no SQL to ask."""
    await store.add(SECOND)
    nullable = [column.name for column in parcels.columns if column.nullable]
    assert "stops" in nullable
    async with store.database.autocommit() as connection:
        nulls = f"SELECT num_nulls({', '.join(nullable)}) FROM parcels"
        assert (await connection.execute(text(nulls))).scalar_one() == len(nullable)


@dataclass
class Lettered:
    order_id: UUID
    letters: int


def test_a_field_without_a_column_is_refused() -> None:
    with pytest.raises(TypeError, match="parcels has no column for letters of Lettered"):
        Mapped(parcels, Lettered, key="order_id")


def test_each_statement_is_built_once() -> None:
    assert PARCELS.update(("reason",)) is PARCELS.update(("reason",))
    assert PARCELS.update(("reason",)) is not PARCELS.update(("reason", "attempts"))
    assert PostgresParcels.mapped is PARCELS
