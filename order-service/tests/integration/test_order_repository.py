"""The repository's own queries, on PostgreSQL and on its stand-in in memory: what the unit tests prove holds for both.
What every repository guarantees is tested in the chassis."""

import re
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import cast
from uuid import UUID, uuid4

import pytest
from chassis.postgres.database import Database
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from domain.order import Order, Status
from infrastructure.unit_of_work import OPEN_OF_CUSTOMERS, OrderUnitOfWork
from tests.builders import an_order, bring, line, order_in, refuse
from tests.integration.conftest import Units
from tests.running import OrderUnits

NOW = datetime.now(UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(params=["memory", "postgres"])
def either(request: pytest.FixtureRequest) -> Units:
    return OrderUnits(OrderUnitOfWork) if request.param == "memory" else cast(Units, request.getfixturevalue("units"))


async def add(units: Units, *orders: Order) -> None:
    async with units() as unit:
        await unit.start()
        for order in orders:
            unit.orders.add(order)
        await unit.commit()


def ids(orders: Iterable[Order]) -> list[UUID]:
    return [order.id for order in orders]


@pytest.mark.parametrize("status", [*Status, "refused"])
async def test_an_order_comes_back_as_it_was_added_and_as_it_was_changed(either: Units, status: str) -> None:
    order = an_order(
        line("0.01", 1), line("0.1", 3), line("9999999979.68", 1), line("1E+1", 2), now=NOW, price_trusted=False
    )
    order.events.clear()
    await add(either, order)
    async with either() as unit:
        loaded = (await unit.orders.locked([order.id]))[order.id]
        assert asdict(loaded) == asdict(order)
        assert str(loaded.total_amount) == "9999999999.99"

        await unit.start()
        if status == "refused":
            refuse(loaded, NOW)
            loaded.events.clear()
            assert loaded.shortages
        else:
            bring(loaded, Status(status))
        loaded.record_compensation("InventoryReleased", 'größer als "alles" \\ \'', NOW + HOUR)
        await unit.commit()
    async with either() as unit:
        assert asdict((await unit.orders.get([order.id]))[order.id]) == asdict(loaded)


async def test_open_orders_past_their_deadline_are_overdue_the_longest_overdue_first(either: Units) -> None:
    oldest = order_in(Status.PENDING, now=NOW - 4 * HOUR)
    confirmed = order_in(Status.CONFIRMED, now=NOW - 3 * HOUR)
    pending = order_in(Status.PENDING, now=NOW - HOUR)
    final = [order_in(status, now=NOW - 2 * HOUR) for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)]
    await add(either, pending, *final, oldest, confirmed, order_in(Status.PENDING, now=NOW))
    async with either() as unit:
        assert ids(await unit.orders.locked_overdue(2)) == ids([oldest, confirmed])
        assert ids(await unit.orders.locked_overdue(1000)) == ids([oldest, confirmed, pending])


async def test_a_customer_s_open_orders_are_counted_until_they_are_final(either: Units) -> None:
    ours, theirs = uuid4(), uuid4()
    open_orders = [order_in(status, customer_id=ours) for status in (Status.PENDING, Status.CONFIRMED)]
    final = [order_in(status, customer_id=ours) for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)]
    await add(either, *open_orders, *final, an_order(customer_id=theirs), an_order())
    async with either() as unit:
        assert await unit.orders.count_open({ours, theirs, uuid4()}) == {ours: 2, theirs: 1}

    async with either() as unit:
        await unit.start()
        (await unit.orders.locked([open_orders[0].id]))[open_orders[0].id].cancel(unit.now)
        await unit.commit()
    async with either() as unit:
        assert await unit.orders.count_open([ours]) == {ours: 1}


async def test_open_orders_are_counted_through_an_index_of_their_own(database: Database) -> None:
    """All open orders, or all orders of a customer, may be many."""
    counting = OPEN_OF_CUSTOMERS.compile(dialect=dialect())  # type: ignore[attr-defined,no-untyped-call]
    async with database.autocommit() as connection:
        await connection.exec_driver_sql(f"PREPARE counting AS {counting}")
        plan = await connection.exec_driver_sql("EXPLAIN EXECUTE counting (ARRAY[gen_random_uuid()])")
        scans = [line for (line,) in plan if "Scan" in line or "Index Cond" in line]
        await connection.exec_driver_sql("DEALLOCATE counting")
    assert [part for line in scans for part in line.split() if part.startswith("orders_")] == ["orders_open"]
    assert "customer_id = ANY" in scans[-1]


async def test_orders_that_have_to_ask_again_come_oldest_first_and_until_they_are_answered(either: Units) -> None:
    first, second, third = (an_order(now=NOW - age) for age in (4 * MINUTE, 3 * MINUTE, 2 * MINUTE))
    await add(either, third, first, an_order(now=NOW + HOUR), second)
    async with either() as unit:
        assert ids(await unit.orders.locked_to_remind(2)) == ids([first, second])

    async with either() as unit:
        await unit.start()
        (await unit.orders.locked([first.id]))[first.id].complete(unit.now)
        await unit.commit()
    async with either() as unit:
        assert ids(await unit.orders.locked_to_remind(1000)) == ids([second, third])


async def test_a_customer_s_orders_come_newest_first_from_below_the_cursor(either: Units) -> None:
    customer = uuid4()
    orders = [an_order(customer_id=customer) for _ in range(4)]
    await add(either, *orders[2:], an_order(), *orders[:2])
    async with either() as unit:
        first_page = await unit.orders.listed(customer_id=customer, before=None, limit=3)
        rest = await unit.orders.listed(customer_id=customer, before=first_page[-1].id, limit=3)
    assert ids(first_page) == ids([orders[3], orders[2], orders[1]])
    assert ids(rest) == ids([orders[0]])


async def test_orders_are_listed_by_status_customer_and_time_in_any_combination(either: Units) -> None:
    ours, theirs = uuid4(), uuid4()
    made = {
        (status, customer, age): order_in(status, customer_id=customer, now=NOW - age)
        for status in Status
        for customer in (ours, theirs)
        for age in (2 * HOUR, MINUTE)
    }
    await add(either, *made.values())
    newest_first = sorted(made.items(), key=lambda item: item[1].id, reverse=True)
    for status, customer, since in product((None, *Status), (None, ours), (None, NOW - MINUTE)):
        wanted = [
            order
            for (its, whose, age), order in newest_first
            if status in (None, its) and customer in (None, whose) and (since is None or age <= MINUTE)
        ]
        async with either() as unit:
            found = await unit.orders.listed(
                status=status, customer_id=customer, since=since, before=None, limit=len(made)
            )
            assert ids(found) == ids(wanted), (status, customer, since)
            below = await unit.orders.listed(
                status=status, customer_id=customer, since=since, before=found[0].id, limit=1
            )
            assert ids(below) == ids(wanted[1:2])


async def test_no_index_names_what_confirming_an_order_changes(database: Database) -> None:
    """PostgreSQL writes the new row beside the old one, without a look at any index: a heap-only tuple."""
    async with database.autocommit() as connection:
        rows = await connection.exec_driver_sql("SELECT indexdef FROM pg_indexes WHERE schemaname = 'orders'")
        definitions = [definition for (definition,) in rows if " ON orders.orders " in definition]
    assert definitions
    assert [one for one in definitions if {"status", "timeline", "updated_at"} & set(re.findall(r"\w+", one))] == []
