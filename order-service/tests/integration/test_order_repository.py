"""One suite over the repository in PostgreSQL and its fake, so that what the unit tests prove holds for both."""

from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

import pytest
from chassis.ports.idempotency import Claim
from chassis.ports.ids import uuid7

from domain.order import Order, Status
from infrastructure.unit_of_work import OrdersUnitOfWork
from tests.builders import NOON, an_order, line, order_in
from tests.fakes import MemoryOrderUnit
from tests.integration.conftest import Units

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
Unit = MemoryOrderUnit | OrdersUnitOfWork


@pytest.fixture
def memory() -> MemoryOrderUnit:
    return MemoryOrderUnit()


@pytest.fixture
async def postgres(units: Units) -> AsyncIterator[OrdersUnitOfWork]:
    """A transaction that is never committed."""
    async with units() as unit:
        await unit.start()
        yield unit


@pytest.fixture(params=["memory", "postgres"])
def unit(request: pytest.FixtureRequest) -> Unit:
    return cast(Unit, request.getfixturevalue(request.param))


def whole(order: Order) -> dict[str, object]:
    return asdict(order) | {"events": []}


@pytest.mark.parametrize("status", list(Status))
async def test_an_order_comes_back_as_it_was_added(unit: Unit, status: Status) -> None:
    order = order_in(status)
    order.note("InventoryReleased", 'größer als "alles" \\ \'', NOON + timedelta(hours=1))
    await unit.orders.add([order])
    [kept] = (await unit.orders.get([order.id])).values()
    assert whole(kept) == whole(order)
    assert kept.events == []


async def test_prices_and_totals_lose_no_digit(unit: Unit) -> None:
    order = an_order(line("0.01", 1), line("0.1", 3), line("9999999979.68", 1), line("1E+1", 2))
    await unit.orders.add([order])
    [kept] = (await unit.orders.get([order.id])).values()
    assert kept.items == order.items
    assert str(kept.total_amount) == str(order.total_amount) == "9999999999.99"


async def test_orders_are_found_by_id_and_others_are_absent(unit: Unit) -> None:
    orders = [an_order() for _ in range(3)]
    await unit.orders.add(orders)
    ids = [orders[2].id, uuid7(), orders[0].id, orders[2].id]
    assert set(await unit.orders.get(ids)) == {orders[0].id, orders[2].id}
    assert set(await unit.orders.locked(ids)) == {orders[0].id, orders[2].id}


async def test_nothing_asked_is_nothing_done(unit: Unit) -> None:
    await unit.orders.add([])
    await unit.orders.save([])
    assert await unit.orders.get([]) == {}
    assert await unit.orders.locked([]) == {}
    assert await unit.claim([]) == {}


async def test_a_change_is_kept_once_it_is_saved(unit: Unit) -> None:
    order, other = an_order(), an_order()
    await unit.orders.add([order, other])
    [loaded] = (await unit.orders.locked([order.id])).values()
    loaded.fail("out-of-stock", NOON + timedelta(minutes=1))
    assert whole((await unit.orders.get([order.id]))[order.id]) == whole(order)

    await unit.orders.save([loaded])

    kept = await unit.orders.get([order.id, other.id])
    assert whole(kept[order.id]) == whole(loaded)
    assert whole(kept[other.id]) == whole(other)


async def test_what_was_never_added_can_t_be_saved(unit: Unit) -> None:
    order = order_in(Status.FAILED)
    await unit.orders.save([order])
    assert await unit.orders.get([order.id]) == {}


async def test_open_orders_are_overdue_from_their_deadline_on(unit: Unit) -> None:
    def due(delay: timedelta, status: Status) -> Order:
        return order_in(status, now=unit.now + delay - timedelta(minutes=15))

    due_now = [due(timedelta(0), Status.PENDING), due(timedelta(0), Status.CONFIRMED)]
    due_later = due(timedelta(microseconds=1), Status.PENDING)
    final = [due(timedelta(0), status) for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)]
    await unit.orders.add([*due_now, due_later, *final])

    overdue = {order.id for order in await unit.orders.locked_overdue(1000)}

    assert overdue & {order.id for order in [*due_now, due_later, *final]} == {order.id for order in due_now}


async def test_the_longest_overdue_come_first(unit: Unit) -> None:
    orders = [an_order(now=LONG_AGO + timedelta(days=days)) for days in (2, 0, 1)]
    await unit.orders.add(orders)
    assert [order.id for order in await unit.orders.locked_overdue(2)] == [orders[1].id, orders[2].id]


async def test_a_final_order_loses_its_deadline(unit: Unit) -> None:
    order = an_order(now=LONG_AGO)
    await unit.orders.add([order])
    order.cancel(unit.now)
    await unit.orders.save([order])
    assert order.id not in {overdue.id for overdue in await unit.orders.locked_overdue(1000)}


async def test_orders_that_have_to_ask_again_come_oldest_first_and_until_they_are_answered(unit: Unit) -> None:
    orders = [an_order(now=LONG_AGO - timedelta(days=days)) for days in (2, 4, 3)]
    later = an_order(now=unit.now)
    await unit.orders.add([*orders, later])

    assert [order.id for order in await unit.orders.locked_to_remind(2)] == [orders[1].id, orders[2].id]

    orders[1].complete(unit.now)
    orders[2].remind_at = unit.now
    await unit.orders.save(orders)
    due = [order.id for order in await unit.orders.locked_to_remind(1000)]
    assert due[0] == orders[0].id
    assert orders[2].id in due
    assert not {orders[1].id, later.id} & set(due)


async def test_a_customer_s_orders_come_newest_first_from_below_the_cursor(unit: Unit) -> None:
    customer = uuid4()
    orders = [an_order(customer_id=customer) for _ in range(4)]
    await unit.orders.add([*orders[2:], an_order(), *orders[:2]])

    first_page = await unit.orders.of_customer(customer, before=None, limit=3)
    rest = await unit.orders.of_customer(customer, before=first_page[-1].id, limit=3)

    assert [order.id for order in first_page] == [orders[3].id, orders[2].id, orders[1].id]
    assert [order.id for order in rest] == [orders[0].id]


async def test_a_key_belongs_to_the_first_claim(unit: Unit) -> None:
    first = Claim("a caller", f"cart {uuid4()}", b"\x00\xff", uuid7())
    second = replace(first, fingerprint=b"another", resource_id=uuid7())
    other = replace(first, key=f"cart {uuid4()}", resource_id=uuid7())
    another_caller_s = replace(first, caller="another", resource_id=uuid7())

    assert await unit.claim([first]) == {first.resource_id: first}
    assert await unit.claim([second, other, another_caller_s]) == {
        second.resource_id: first,
        other.resource_id: other,
        another_caller_s.resource_id: another_caller_s,
    }


async def test_of_two_claims_in_one_call_the_first_wins(unit: Unit) -> None:
    first = Claim("a caller", f"cart {uuid4()}", b"one", uuid7())
    second = replace(first, fingerprint=b"two", resource_id=uuid7())
    assert await unit.claim([first, second]) == {first.resource_id: first, second.resource_id: first}
