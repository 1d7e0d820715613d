"""One suite for the repositories in memory and in PostgreSQL, so that the use cases' tests prove something of both."""

import asyncio
import random
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from chassis.ports.errors import Conflict
from chassis.testing import eventually
from domain.hold import Demand, Hold, Status

from domain.events import Line
from domain.item import Item
from tests.fakes import FakeStore
from tests.messages import CUSTOMER, TRACEPARENT
from tests.postgres import PostgresStore

Store = FakeStore | PostgresStore
FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))
DEMAND = Demand((Line(FIRST, 2, Decimal("9999999999.99")), Line(SECOND, 1, Decimal("0.10"))), Decimal("30.10"), "USD")


class RolledBack(Exception):
    pass


def new(order_id: UUID, now: datetime, status: Status = Status.VOID) -> Hold:
    hold = Hold.new(order_id, CUSTOMER, now + timedelta(minutes=15), TRACEPARENT, now)
    hold.status = status
    return hold


async def make(
    store: Store,
    *order_ids: UUID,
    remind_in: timedelta | None = None,
    due_in: timedelta | None = None,
    status: Status = Status.HELD,
) -> None:
    async with store.transaction() as unit:
        holds = [new(order_id, unit.now, status) for order_id in order_ids]
        for hold in holds:
            hold.demand = DEMAND
            hold.due_at = None if due_in is None else unit.now + due_in
            hold.remind_at = None if remind_in is None else unit.now + remind_in
        await unit.holds.add(holds)


async def stock(store: Store, *product_ids: UUID) -> None:
    async with store.transaction() as unit:
        await unit.items.make(product_ids)
        items = await unit.items.locked(product_ids)
        for item in items.values():
            item.set_available(10, unit.now)
        await unit.items.save(list(items.values()))


async def read(store: Store, order_id: UUID) -> Hold:
    async with store.transaction() as unit:
        return (await unit.holds.locked([order_id]))[order_id]


@pytest.mark.parametrize("added_before", [False, True])
async def test_a_hold_comes_back_as_it_was_added_or_saved(store: Store, added_before: bool) -> None:
    if added_before:
        await make(store, FIRST)
    async with store.transaction() as unit:
        hold = (await unit.holds.locked([FIRST])).get(FIRST) or new(FIRST, unit.now)
        hold.status, hold.reason, hold.demand = Status.RELEASED, "expired", DEMAND
        hold.due_at, hold.remind_at, hold.updated_at = (unit.now + timedelta(hours=hours) for hours in (1, 2, 3))
        await (unit.holds.save([hold]) if added_before else unit.holds.add([hold]))
    found = await read(store, FIRST)
    for name in set(Hold.__slots__) - {"events", "repeats"}:
        assert getattr(found, name) == getattr(hold, name), name


async def test_a_hold_that_does_not_exist_is_left_out(store: Store) -> None:
    await make(store, FIRST)
    async with store.transaction() as unit:
        assert (await unit.holds.locked([FIRST, FIRST, SECOND])).keys() == {FIRST}


async def test_a_hold_that_exists_is_not_added_again_nor_those_beside_it(store: Store) -> None:
    await make(store, SECOND)

    async def again() -> None:
        async with store.transaction() as unit:
            await unit.holds.add([new(order_id, unit.now) for order_id in (FIRST, SECOND, THIRD)])

    with pytest.raises(Conflict):
        await again()
    async with store.transaction() as unit:
        holds = await unit.holds.locked([FIRST, SECOND, THIRD])
    assert {order_id: hold.status for order_id, hold in holds.items()} == {SECOND: Status.HELD}


async def test_a_unit_waits_for_another_that_has_the_hold_and_sees_what_it_did(store: Store) -> None:
    await make(store, FIRST)

    async def second() -> Status:
        async with store.transaction() as unit:
            return (await unit.holds.locked([FIRST]))[FIRST].status

    async with store.transaction() as unit:
        hold = (await unit.holds.locked([FIRST]))[FIRST]
        waiting = asyncio.create_task(second())
        await eventually(store.someone_waits)
        assert not waiting.done()
        hold.status, hold.demand = Status.SOLD, DEMAND
        await unit.holds.save([hold])
    assert await waiting == Status.SOLD


@pytest.mark.parametrize("committed", [True, False])
async def test_of_two_units_that_add_the_same_hold_the_second_waits_and_is_run_again(
    store: Store, committed: bool
) -> None:
    """Unless the first one is rolled back: then it is the second that adds the hold."""

    async def second() -> None:
        async with store.transaction() as unit:
            assert await unit.holds.locked([FIRST]) == {}
            await unit.holds.add([new(FIRST, unit.now, Status.SOLD)])

    async def first() -> None:
        async with store.transaction() as unit:
            await unit.holds.add([new(FIRST, unit.now, Status.HELD)])
            waiting.append(asyncio.create_task(second()))
            await eventually(store.someone_waits)
            if not committed:
                raise RolledBack

    waiting: list[asyncio.Task[None]] = []
    with suppress(RolledBack):
        await first()
    [result] = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(result, Conflict) == committed
    assert (await read(store, FIRST)).status == (Status.HELD if committed else Status.SOLD)


async def test_units_that_want_the_same_holds_in_any_order_never_wait_in_a_circle(store: Store) -> None:
    order_ids = [uuid4() for _ in range(20)]
    await stock(store, *order_ids)

    async def work(seed: int) -> None:
        shuffled = random.Random(seed).sample(order_ids, 12)
        async with store.transaction() as unit:
            holds = await unit.holds.locked(shuffled)
            items = await unit.items.locked(shuffled)
            for item in items.values():
                item.hold(1, unit.now)
                item.release(1, unit.now)
            await unit.holds.add([new(order_id, unit.now) for order_id in shuffled if order_id not in holds])
            await unit.holds.save(list(holds.values()))
            await unit.items.save(list(items.values()))

    results = await asyncio.gather(*(work(seed) for seed in range(20)), return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), Conflict}


async def test_a_unit_that_is_not_committed_leaves_nothing(store: Store) -> None:
    await stock(store, FIRST)

    async def fail_at_the_end() -> None:
        async with store.transaction() as unit:
            hold = new(FIRST, unit.now, Status.NEW)
            item = (await unit.items.locked([FIRST]))[FIRST]
            assert await unit.items.make([SECOND]) == {SECOND}
            hold.place(Demand((Line(FIRST, 4, Decimal(1)),), Decimal(4), "USD"), {FIRST: item}, unit.now)
            await unit.items.save([item])
            await unit.holds.add([hold])
            raise RolledBack

    with pytest.raises(RolledBack):
        await fail_at_the_end()
    async with store.transaction() as unit:
        assert await unit.holds.locked([FIRST]) == {}
        items = await unit.items.locked([FIRST, SECOND])
    assert {key: item.quantity_available for key, item in items.items()} == {FIRST: 10}


async def test_holds_to_be_reminded_of_come_oldest_first(store: Store) -> None:
    await make(store, FIRST, remind_in=timedelta(seconds=-1))
    await make(store, SECOND, remind_in=timedelta(seconds=-2))
    await make(store, THIRD, remind_in=timedelta(minutes=1))
    await make(store, uuid4(), remind_in=None)
    async with store.transaction() as unit:
        assert [hold.order_id for hold in await unit.holds.locked_to_remind(10)] == [SECOND, FIRST]
    async with store.transaction() as unit:
        assert [hold.order_id for hold in await unit.holds.locked_to_remind(1)] == [SECOND]


async def test_holds_to_be_reminded_of_that_another_unit_has_are_left_to_it(store: Store) -> None:
    await make(store, FIRST, SECOND, THIRD, remind_in=timedelta(seconds=-1))
    async with store.transaction() as one, store.transaction() as other:
        mine = [hold.order_id for hold in await one.holds.locked_to_remind(2)]
        theirs = [hold.order_id for hold in await other.holds.locked_to_remind(10)]
    assert len(mine) == 2
    assert sorted(mine + theirs) == [FIRST, SECOND, THIRD]


async def test_an_item_is_made_once_and_empty(store: Store) -> None:
    async with store.transaction() as unit:
        assert await unit.items.make([FIRST, SECOND]) == {FIRST, SECOND}
        item = (await unit.items.locked([FIRST]))[FIRST]
        assert (item.quantity_available, item.reserved_quantity, item.created_at) == (0, 0, unit.now)
    async with store.transaction() as unit:
        assert await unit.items.make([SECOND, THIRD]) == {THIRD}


async def test_of_two_units_that_make_the_same_item_the_second_finds_it(store: Store) -> None:
    async def second() -> set[UUID]:
        async with store.transaction() as unit:
            return await unit.items.make([FIRST])

    async with store.transaction() as unit:
        assert await unit.items.make([FIRST]) == {FIRST}
        waiting = asyncio.create_task(second())
        await eventually(store.someone_waits)
    assert await waiting == set()


async def test_an_item_comes_back_as_it_was_saved(store: Store) -> None:
    await stock(store, FIRST, SECOND)
    async with store.transaction() as unit:
        item = (await unit.items.locked([FIRST, SECOND]))[FIRST]
        item.quantity_available, item.reserved_quantity = 1_000_000_000, 10_000_000_000
        item.updated_at = unit.now + timedelta(seconds=1)
        await unit.items.save([item])
    async with store.reading() as items:
        found = await items.get(FIRST)
        assert found is not None
        for name in Item.__slots__:
            assert getattr(found, name) == getattr(item, name), name
        untouched = await items.get(SECOND)
        assert untouched is not None
        assert untouched.quantity_available == 10
        assert await items.get(THIRD) is None


async def test_an_item_that_a_unit_has_keeps_others_waiting(store: Store) -> None:
    await stock(store, FIRST)

    async def second() -> int:
        async with store.transaction() as unit:
            return (await unit.items.locked([FIRST]))[FIRST].quantity_available

    async with store.transaction() as unit:
        items = await unit.items.locked([FIRST, SECOND])
        waiting = asyncio.create_task(second())
        await eventually(store.someone_waits)
        items[FIRST].hold(7, unit.now)
        await unit.items.save([items[FIRST]])
    assert await waiting == 3


async def test_items_are_listed_newest_first_from_any_place_on(store: Store) -> None:
    product_ids = [uuid4() for _ in range(5)]
    for product_id in product_ids:
        await stock(store, product_id)
    async with store.reading() as items:
        everything = await items.listed(before=None, limit=10)
        assert [item.product_id for item in everything] == product_ids[::-1]
        page = await items.listed(before=everything[1].id, limit=2)
        assert [item.product_id for item in page] == product_ids[1:3][::-1]
        assert await items.listed(before=everything[-1].id, limit=2) == []
