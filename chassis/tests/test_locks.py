"""Units of work that want the same rows at the same time: on PostgreSQL, and on the stand-in that must do the same."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from chassis.ports.errors import Conflict
from chassis.ports.events import Received
from chassis.ports.ids import uuid7
from chassis.postgres.outbox import OutboxRows
from chassis.testing.memory import MemoryDatabase
from tests.parcels import (
    DUE,
    FRAGILE_DUE,
    LEAST,
    TO_REMIND,
    Parcel,
    ParcelsUnitOfWork,
    Status,
    Store,
    a_parcel,
    keys,
)


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
    event = Received(uuid7(), "Happened", "", "", None, None)
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
    known, added, absent = a_parcel(expires_at=datetime.now(UTC)), a_parcel(LEAST), uuid7()
    await store.add(known)
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


async def test_what_is_there_already_is_not_added_over(store: Store) -> None:
    known = a_parcel()
    await store.add(known)
    async with store.unit() as unit:
        await unit.parcels.locked([known.order_id])
        with pytest.raises(ValueError, match="already"):
            unit.parcels.add(a_parcel(known.order_id))
        new = unit.parcels.add(a_parcel())
        with pytest.raises(ValueError, match="already"):
            unit.parcels.add(a_parcel(new.order_id))


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


@pytest.mark.parametrize("renewed", [True, False])
async def test_a_row_that_another_transaction_has_while_it_is_pruned_stays_if_that_renews_it(
    store: Store, renewed: bool
) -> None:
    past, later = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
    parcel = a_parcel(status=Status.LOST, remind_at=past)
    await store.add(parcel)
    async with store.unit() as unit:
        (locked,) = (await unit.parcels.locked([parcel.order_id])).values()
        pruning = asyncio.create_task(store.prune())
        if isinstance(store.database, MemoryDatabase):
            await pruning  # leaves what is locked to the next pruning
        else:
            await store.waits(pruning)
        locked.remind_at = later
        assert await store.kept(parcel.order_id) == [parcel]
        if renewed:
            await unit.commit()
    await pruning
    await store.prune()
    assert await store.kept(parcel.order_id) == ([replace(parcel, remind_at=later)] if renewed else [])
