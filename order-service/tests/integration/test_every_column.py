"""Whatever is known of an order is in its row, and no column of this service stays unwritten."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from chassis.ports.idempotency import Claim
from chassis.ports.ids import uuid7
from chassis.postgres.database import Database
from chassis.testing.stored import assert_every_column_is_written, assert_kept_whole, fill_inbox_and_outbox

from domain.events import Line, OrderConfirmed, OrderEvent, OrderFailed
from domain.order import Order, Status, TimelineEntry
from infrastructure.tables import metadata, orders
from infrastructure.unit_of_work import OrdersUnitOfWork
from tests.integration.conftest import Units

FAR = datetime(2100, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
"""No deadline comes while the tests run."""
FIRST = Order(
    id=uuid7(),
    customer_id=uuid4(),
    items=(Line(uuid4(), 2, Decimal("19.99")),),
    total_amount=Decimal("39.98"),
    currency="USD",
    expires_at=FAR,
    created_at=FAR - timedelta(days=3),
    updated_at=FAR - timedelta(days=2),
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    status=Status.PENDING,
    reason=None,
    remind_at=FAR,
    timeline=[TimelineEntry(FAR, "OrderCreated", "pending")],
)
SECOND = Order(
    id=uuid7(),
    customer_id=uuid4(),
    items=(Line(uuid4(), 1, Decimal("0.10")), Line(uuid4(), 10_000, Decimal("999999.99"))),
    total_amount=Decimal("9999999900.10"),
    currency="EUR",
    expires_at=FAR + timedelta(hours=1),
    created_at=FAR - timedelta(days=5),
    updated_at=FAR - timedelta(days=4),
    traceparent="00-00000000000000000000000000000001-0000000000000001-00",
    status=Status.CONFIRMED,
    reason="a reason",
    remind_at=FAR + timedelta(minutes=1),
    timeline=[TimelineEntry(FAR + timedelta(microseconds=1), "OrderAdopted", "failed", "lost-in-restore")],
)
CHANGED = replace(
    FIRST,
    updated_at=FAR + timedelta(days=1),
    status=Status.CANCELLED,
    reason="cancelled-by-customer",
    remind_at=FAR + timedelta(minutes=2),
    timeline=[TimelineEntry(FAR + timedelta(seconds=1), "OrderCancelled", "cancelled", "cancelled-by-customer")],
)
NEVER_CHANGED = {
    *("id", "customer_id", "items", "total_amount", "currency", "expires_at", "created_at", "traceparent"),
}


async def test_an_order_is_kept_whole_and_no_column_stays_unwritten(units: Units, database: Database) -> None:
    async def add(order: Order) -> None:
        async with units() as unit:
            await unit.orders.add([order])
            await unit.commit()

    async def save(order: Order) -> None:
        async with units() as unit:
            await unit.orders.save([order])
            await unit.commit()

    async def load(order: Order) -> Order:
        async with units() as unit:
            return (await unit.orders.get([order.id]))[order.id]

    async def claim(unit: OrdersUnitOfWork, number: int) -> None:
        await unit.claim([Claim(f"caller {number}", f"key {number}", bytes([number]), uuid7())])

    await assert_kept_whole(
        database, orders, FIRST, SECOND, CHANGED, add=add, save=save, load=load, never_changed=NEVER_CHANGED
    )
    events: list[OrderEvent] = [OrderConfirmed(uuid7(), uuid4()), OrderFailed(uuid7(), uuid4(), "expired", FAR)]
    await fill_inbox_and_outbox(units, events, claim)
    await assert_every_column_is_written(database, metadata, besides=[orders])
