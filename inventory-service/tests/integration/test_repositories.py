"""What is this service's own in its repositories: that its aggregates come back whole, and its queries."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from chassis.ports.ids import uuid7

from domain.events import Line
from domain.item import Item
from domain.reservation import Reservation, Status
from tests.messages import CUSTOMER, TRACEPARENT
from tests.postgres import Postgres

FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))
NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def a_reservation(order_id: UUID, remind_at: datetime | None = None) -> Reservation:
    reservation = Reservation.new(order_id, CUSTOMER, NOON, TRACEPARENT, NOON)
    reservation.status, reservation.remind_at = Status.HELD, remind_at
    return reservation


async def test_a_reservation_comes_back_as_it_was_added_and_as_it_was_changed(postgres: Postgres) -> None:
    added = Reservation(
        order_id=uuid7(),
        customer_id=uuid4(),
        status=Status.RELEASED,
        reason="expired",
        items=(Line(uuid4(), 2, Decimal("9999999999.99")), Line(uuid4(), 1, Decimal("0.10"))),
        total_amount=Decimal("30.10"),
        currency="CHF",
        expires_at=NOON,
        due_at=NOON + timedelta(minutes=1),
        remind_at=NOON + timedelta(minutes=2),
        traceparent=TRACEPARENT,
        created_at=NOON - timedelta(hours=3),
        updated_at=NOON - timedelta(hours=2),
    )
    async with postgres.transaction() as unit:
        unit.reservations.add(added)
    async with postgres.transaction() as unit:
        found = (await unit.reservations.locked([added.order_id]))[added.order_id]
        assert {name: getattr(found, name) for name in Reservation.__slots__} == {
            name: getattr(added, name) for name in Reservation.__slots__
        }
        found.status, found.items, found.reason, found.remind_at = Status.VOID, None, None, None
    async with postgres.transaction() as unit:
        again = (await unit.reservations.locked([added.order_id]))[added.order_id]
    assert (again.status, again.items, again.reason, again.remind_at) == (Status.VOID, None, None, None)
    assert (again.due_at, again.total_amount) == (added.due_at, added.total_amount)


async def test_an_item_comes_back_as_it_was_added_and_as_it_was_changed(postgres: Postgres) -> None:
    added = Item(uuid7(), uuid4(), 1_000_000_000, 10_000_000_000, NOON, NOON + timedelta(seconds=1))
    added.price, added.priced_at = Decimal("9999999999.99"), NOON
    async with postgres.transaction() as unit:
        unit.items.add(added)
    async with postgres.transaction() as unit:
        found = (await unit.items.locked([added.product_id]))[added.product_id]
        assert [getattr(found, name) for name in Item.__slots__] == [getattr(added, name) for name in Item.__slots__]
        found.sell(10_000_000_000, NOON + timedelta(hours=1))
    assert await postgres.stored_quantities(added.product_id) == (1_000_000_000, 0)


async def test_reservations_to_be_reminded_of_come_oldest_first(postgres: Postgres) -> None:
    async with postgres.transaction() as unit:
        for order_id, seconds in ((FIRST, -1), (SECOND, -2), (THIRD, 60)):
            unit.reservations.add(a_reservation(order_id, unit.now + timedelta(seconds=seconds)))
        unit.reservations.add(a_reservation(uuid4()))
    async with postgres.transaction() as unit:
        assert [one.order_id for one in await unit.reservations.locked_to_remind(10)] == [SECOND, FIRST]
    async with postgres.transaction() as unit:
        assert [one.order_id for one in await unit.reservations.locked_to_remind(1)] == [SECOND]


async def test_reservations_to_be_reminded_of_that_another_unit_has_are_left_to_it(postgres: Postgres) -> None:
    async with postgres.transaction() as unit:
        for order_id in (FIRST, SECOND, THIRD):
            unit.reservations.add(a_reservation(order_id, unit.now))
    async with postgres.transaction() as one, postgres.transaction() as other:
        mine = [reservation.order_id for reservation in await one.reservations.locked_to_remind(2)]
        theirs = [reservation.order_id for reservation in await other.reservations.locked_to_remind(10)]
    assert len(mine) == 2
    assert sorted(mine + theirs) == [FIRST, SECOND, THIRD]


async def test_items_are_listed_newest_first_from_any_place_on(postgres: Postgres) -> None:
    product_ids = [uuid4() for _ in range(5)]
    for product_id in product_ids:
        await postgres.stock(product_id, 10)
    async with postgres.reading() as items:
        everything = await items.listed(before=None, limit=10)
        assert [item.product_id for item in everything] == product_ids[::-1]
        page = await items.listed(before=everything[1].id, limit=2)
        assert [item.product_id for item in page] == product_ids[1:3][::-1]
        assert await items.listed(before=everything[-1].id, limit=2) == []
