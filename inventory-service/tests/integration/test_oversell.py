"""Concurrency is tested with concurrency: many transactions at once, as several replicas make them."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from application.hold_stock import hold_stock
from chassis.ports.errors import Conflict
from chassis.ports.events import Received
from chassis.testing import received

from application.set_stock import SetStock, set_stock
from tests.messages import completed, order_created, undone
from tests.postgres import SERVICE, PostgresStore

PRODUCT, OTHER = UUID(int=1), UUID(int=2)


async def stock(store: PostgresStore, **quantities: int) -> None:
    async with store.transaction() as unit:
        await set_stock([SetStock(PRODUCT, quantities["product"]), SetStock(OTHER, quantities.get("other", 0))], unit)


async def take(store: PostgresStore, events: Sequence[Received]) -> None:
    """Once more after a conflict, as the consumer does."""
    try:
        async with store.units() as unit:
            if fresh := await unit.take_in(SERVICE, events):
                await hold_stock(fresh, unit)
            await unit.commit()
    except Conflict:
        await take(store, events)


async def quantities(store: PostgresStore, product_id: UUID = PRODUCT) -> tuple[int, int]:
    async with store.reading() as items:
        item = await items.get(product_id)
    assert item is not None
    return item.quantity_available, item.reserved_quantity


async def counted(store: PostgresStore, query: str) -> Counter[str]:
    return Counter({row[0]: row[1] for row in await store.execute(query)})


async def holds(store: PostgresStore) -> Counter[str]:
    return await counted(store, "SELECT status, count(*) FROM holds GROUP BY status")


async def published(store: PostgresStore) -> Counter[str]:
    """What was said for the first time."""
    return await counted(
        store, "SELECT type, count(*) FROM outbox WHERE body::jsonb ->> 'repeat' IS NULL GROUP BY type"
    )


async def test_many_orders_for_few_pieces_get_exactly_those(postgres: PostgresStore) -> None:
    await stock(postgres, product=20)
    await asyncio.gather(*(take(postgres, [received(order_created((PRODUCT, 1)))]) for _ in range(100)))
    assert await quantities(postgres) == (0, 20)
    assert await holds(postgres) == {"held": 20, "refused": 80}
    assert await published(postgres) == {"InventoryReserved": 20, "InventoryUnavailable": 80}


async def test_batches_that_want_the_same_products_in_any_order_oversell_nothing(postgres: PostgresStore) -> None:
    await stock(postgres, product=35, other=50)
    drawn = random.Random(7)
    batches = [
        [received(order_created(*drawn.sample([(PRODUCT, 1), (OTHER, 1)], drawn.randint(1, 2)))) for _ in range(10)]
        for _ in range(20)
    ]
    await asyncio.gather(*(take(postgres, batch) for batch in batches))
    held = await postgres.execute(
        "SELECT sum((line->>'quantity')::int) FROM holds, jsonb_array_elements(items) AS line"
        " WHERE status = 'held' GROUP BY line->>'product_id' ORDER BY line->>'product_id'"
    )
    left = [await quantities(postgres, product_id) for product_id in (PRODUCT, OTHER)]
    assert [reserved for _, reserved in left] == [row[0] for row in held]
    assert [available + reserved for available, reserved in left] == [35, 50]
    assert left[0] == (0, 35)


async def test_one_order_that_comes_many_times_at_once_is_held_once(postgres: PostgresStore) -> None:
    await stock(postgres, product=10)
    order = order_created((PRODUCT, 1))
    event, again = received(order), received(order)
    await asyncio.gather(*(take(postgres, [one]) for one in [event, again] * 5))
    assert await quantities(postgres) == (9, 1)
    assert await published(postgres) == {"InventoryReserved": 1}


async def test_an_order_and_its_end_that_come_at_once_leave_nothing_held(postgres: PostgresStore) -> None:
    await stock(postgres, product=100)
    orders = [order_created((PRODUCT, 1)) for _ in range(20)]
    events = [received(message) for order in orders for message in (order, undone(order))]
    random.Random(7).shuffle(events)
    await asyncio.gather(*(take(postgres, [event]) for event in events))
    assert await quantities(postgres) == (100, 0)
    ends = await holds(postgres)
    assert ends.keys() <= {"void", "released"}
    assert ends.total() == 20
    assert (await published(postgres))["InventoryReleased"] == ends["released"]


async def test_of_two_ends_that_come_at_once_one_counts(postgres: PostgresStore) -> None:
    await stock(postgres, product=100)
    orders = [order_created((PRODUCT, 1)) for _ in range(20)]
    await take(postgres, [received(order) for order in orders])
    ends = [received(end) for order in orders for end in (completed(order), undone(order))]
    await asyncio.gather(*(take(postgres, [end]) for end in ends))
    by_status = await holds(postgres)
    assert by_status.keys() <= {"sold", "released"}
    assert await quantities(postgres) == (100 - by_status["sold"], 0)


async def test_stock_that_is_set_while_it_is_held_never_touches_what_is_held(postgres: PostgresStore) -> None:
    await stock(postgres, product=10)
    orders = [order_created((PRODUCT, 1)) for _ in range(20)]
    await asyncio.gather(
        *(take(postgres, [received(order)]) for order in orders), *(stock(postgres, product=10) for _ in range(10))
    )
    assert (await quantities(postgres))[1] == (await holds(postgres))["held"]
