"""Whatever is known of an item or a hold is in its row, and no column of this service stays unwritten."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from chassis.ports.ids import uuid7
from chassis.testing.stored import assert_every_column_is_written, assert_kept_whole, fill_inbox_and_outbox
from domain.hold import Demand, Hold, Status

from domain.events import InventoryEvent, InventoryReleased, InventoryUnavailable, Line
from domain.item import Item
from infrastructure.tables import holds, inventory_items, metadata
from tests.postgres import PostgresStore

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
HOLD = Hold(
    order_id=uuid7(),
    customer_id=uuid4(),
    status=Status.HELD,
    reason=None,
    demand=Demand((Line(uuid4(), 2, Decimal("19.99")),), Decimal("39.98"), "USD"),
    expires_at=NOON,
    due_at=NOON + timedelta(minutes=1),
    remind_at=NOON + timedelta(minutes=2),
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    created_at=NOON - timedelta(hours=3),
    updated_at=NOON - timedelta(hours=2),
)
ANOTHER_HOLD = Hold(
    order_id=uuid7(),
    customer_id=uuid4(),
    status=Status.SOLD,
    reason="a reason",
    demand=Demand((Line(uuid4(), 1, Decimal("9999999999.99")),), Decimal("9999999999.99"), "EUR"),
    expires_at=NOON + timedelta(hours=1),
    due_at=NOON + timedelta(hours=2),
    remind_at=NOON + timedelta(hours=3),
    traceparent="00-00000000000000000000000000000001-0000000000000001-00",
    created_at=NOON - timedelta(hours=5),
    updated_at=NOON - timedelta(hours=4),
)
CHANGED_HOLD = replace(
    HOLD,
    status=Status.RELEASED,
    reason="expired",
    demand=Demand((Line(uuid4(), 3, Decimal("5.00")),), Decimal("15.00"), "CHF"),
    due_at=NOON + timedelta(days=1),
    remind_at=NOON + timedelta(days=2),
    updated_at=NOON + timedelta(days=1),
)
NEVER_CHANGED = {"order_id", "customer_id", "expires_at", "traceparent", "created_at"}

# An item is made empty, with an id and a time of its own, and then set: so the test takes both from the row.
ITEM = Item(uuid7(), uuid4(), 5, 3, NOON, NOON)
ANOTHER_ITEM = Item(uuid7(), uuid4(), 1_000_000_000, 10_000_000_000, NOON + timedelta(days=1), NOON + timedelta(days=1))


async def test_a_hold_is_kept_whole(postgres: PostgresStore) -> None:
    async def add(hold: Hold) -> None:
        async with postgres.transaction() as unit:
            await unit.holds.add([hold])

    async def save(hold: Hold) -> None:
        async with postgres.transaction() as unit:
            await unit.holds.save([hold])

    async def load(hold: Hold) -> Hold:
        async with postgres.transaction() as unit:
            return (await unit.holds.locked([hold.order_id]))[hold.order_id]

    await assert_kept_whole(
        postgres.database,
        holds,
        HOLD,
        ANOTHER_HOLD,
        CHANGED_HOLD,
        add=add,
        save=save,
        load=load,
        never_changed=NEVER_CHANGED,
    )


async def test_an_item_is_kept_whole(postgres: PostgresStore) -> None:
    async def load(item: Item) -> Item:
        async with postgres.transaction() as unit:
            return (await unit.items.locked([item.product_id]))[item.product_id]

    async def save(item: Item) -> None:
        async with postgres.transaction() as unit:
            await unit.items.save([item])

    async def add(item: Item) -> None:
        async with postgres.transaction() as unit:
            await unit.items.make([item.product_id])
        made = await load(item)
        item.id, item.created_at = made.id, made.created_at
        await save(item)

    first, second = replace(ITEM), replace(ANOTHER_ITEM)
    await add(first)
    await assert_kept_whole(
        postgres.database,
        inventory_items,
        first,
        second,
        replace(first, quantity_available=6, reserved_quantity=4, updated_at=NOON + timedelta(hours=1)),
        add=add,
        save=save,
        load=load,
        never_changed={"id", "product_id", "created_at"},
    )


async def test_no_other_column_stays_unwritten(postgres: PostgresStore) -> None:
    events: list[InventoryEvent] = [
        InventoryReleased(uuid7(), uuid4(), "expired"),
        InventoryUnavailable(uuid7(), uuid4(), "out-of-stock"),
    ]
    await fill_inbox_and_outbox(postgres.units, events)
    await assert_every_column_is_written(postgres.database, metadata, besides=[holds, inventory_items])
