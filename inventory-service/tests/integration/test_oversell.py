"""Concurrency is tested with concurrency: many transactions at once, as several replicas make them."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import httpx
from chassis.ports.errors import Conflict
from chassis.ports.events import Received
from chassis.ports.ids import uuid7
from chassis.testing import eventually, received
from chassis.testing.running import NOWHERE, client_of

from application.change_stock import Changed
from application.handle_events import handle_events
from domain.item import Item
from tests.messages import PRICE, completed, order_created, undone
from tests.postgres import SERVICE, Postgres
from tests.running import load_main

PRODUCT, OTHER = UUID(int=1), UUID(int=2)


async def take(postgres: Postgres, events: Sequence[Received]) -> None:
    """As the consumer does: through the inbox, and again after a conflict."""
    try:
        async with postgres() as unit:
            if fresh := await unit.take_in(SERVICE, events):
                await handle_events(fresh, unit)
            await unit.commit()
    except Conflict:
        await take(postgres, events)


def published(postgres: Postgres) -> Counter[str]:
    """What was said for the first time."""
    return Counter(published.event.name for published in postgres.published if not published.repeat)


async def test_many_orders_for_few_pieces_get_exactly_those(postgres: Postgres) -> None:
    await postgres.stock(PRODUCT, 20)
    await asyncio.gather(*(take(postgres, [received(order_created((PRODUCT, 1)))]) for _ in range(100)))
    assert await postgres.stored_quantities(PRODUCT) == (0, 20)
    assert await postgres.statuses() == {"held": 20, "refused": 80}
    assert published(postgres) == {"InventoryReserved": 20, "InventoryUnavailable": 80}


async def test_batches_that_want_the_same_products_in_any_order_oversell_nothing(postgres: Postgres) -> None:
    await postgres.stock(PRODUCT, 35)
    await postgres.stock(OTHER, 50)
    drawn = random.Random(7)
    batches = [
        [received(order_created(*drawn.sample([(PRODUCT, 1), (OTHER, 1)], drawn.randint(1, 2)))) for _ in range(10)]
        for _ in range(20)
    ]
    await asyncio.gather(*(take(postgres, batch) for batch in batches))
    held = await postgres.execute(
        "SELECT sum((line->>'quantity')::int) FROM reservations, jsonb_array_elements(items) AS line"
        " WHERE status = 'held' GROUP BY line->>'product_id' ORDER BY line->>'product_id'"
    )
    left = [await postgres.stored_quantities(product_id) for product_id in (PRODUCT, OTHER)]
    assert [reserved for _, reserved in left] == [row[0] for row in held]
    assert [available + reserved for available, reserved in left] == [35, 50]
    assert left[0] == (0, 35)


async def test_one_order_that_comes_many_times_at_once_is_held_once(postgres: Postgres) -> None:
    await postgres.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 1))
    event, again = received(order), received(order)
    await asyncio.gather(*(take(postgres, [one]) for one in [event, again] * 5))
    assert await postgres.stored_quantities(PRODUCT) == (9, 1)
    assert published(postgres) == {"InventoryReserved": 1}


async def test_an_order_and_its_end_that_come_at_once_leave_nothing_held(postgres: Postgres) -> None:
    await postgres.stock(PRODUCT, 100)
    orders = [order_created((PRODUCT, 1)) for _ in range(20)]
    events = [received(message) for order in orders for message in (order, undone(order))]
    random.Random(7).shuffle(events)
    await asyncio.gather(*(take(postgres, [event]) for event in events))
    assert await postgres.stored_quantities(PRODUCT) == (100, 0)
    ends = await postgres.statuses()
    assert ends.keys() <= {"void", "released"}
    assert ends.total() == 20
    assert published(postgres)["InventoryReleased"] == ends["released"]


async def test_of_two_ends_that_come_at_once_one_counts(postgres: Postgres) -> None:
    await postgres.stock(PRODUCT, 100)
    orders = [order_created((PRODUCT, 1)) for _ in range(20)]
    await take(postgres, [received(order) for order in orders])
    ends = [received(end) for order in orders for end in (completed(order), undone(order))]
    await asyncio.gather(*(take(postgres, [end]) for end in ends))
    by_status = await postgres.statuses()
    assert by_status.keys() <= {"sold", "released"}
    assert await postgres.stored_quantities(PRODUCT) == (100 - by_status["sold"], 0)


async def test_stock_that_is_set_while_it_is_held_never_touches_what_is_held(postgres: Postgres) -> None:
    await postgres.stock(PRODUCT, 10)
    orders = [order_created((PRODUCT, 1)) for _ in range(20)]
    await asyncio.gather(
        *(take(postgres, [received(order)]) for order in orders), *(postgres.stock(PRODUCT, 10) for _ in range(10))
    )
    assert (await postgres.stored_quantities(PRODUCT))[1] == (await postgres.statuses())["held"]


async def test_prices_that_change_while_orders_come_bind_whatever_is_reserved_later(postgres: Postgres) -> None:
    """By the item's own note of when its price changed, which is how the books can tell."""
    prices = [PRICE, Decimal("20.00")]
    await postgres.stock(PRODUCT, 1000, PRICE)
    acts = [take(postgres, [received(order_created((PRODUCT, 1), price=prices[n % 2]))]) for n in range(100)]
    acts += [postgres.stock(PRODUCT, 1000, prices[n % 2]) for n in range(20)]  # type: ignore[misc]
    random.Random(7).shuffle(acts)
    for act in range(0, len(acts), 12):
        await asyncio.gather(*acts[act : act + 12])
        bound = await postgres.execute(
            "SELECT count(*) FILTER (WHERE (r.items->0->>'price')::numeric <> i.price) AS wrong, count(*) AS held"
            " FROM reservations r, inventory_items i WHERE r.status = 'held' AND r.created_at > i.priced_at"
        )
        assert bound[0].wrong == 0
    assert await postgres.execute("SELECT 1 FROM reservations WHERE reason = 'price-changed'")


async def test_of_two_replicas_that_create_the_same_product_at_once_one_creates_it_and_both_set_it(
    postgres: Postgres, inventory_url: str
) -> None:
    """Both find no item and insert one. The second loses, and finds that of the first when it is run again."""
    replicas = [load_main(DATABASE_URL=inventory_url, RABBITMQ_URL=f"amqp://{NOWHERE}/") for _ in range(2)]

    async def put(replica: int) -> httpx.Response:
        async with client_of(replicas[replica]) as client:
            return await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": replica})

    async def both_wait() -> bool:
        return await postgres.waiting() == 2

    async with postgres() as unit:  # rolled back at the end; until then whoever inserts the product has to wait
        await unit.start()
        unit.items.add(Item.new(uuid7(), PRODUCT, unit.now))
        await unit.items.insert_added()
        answers = [asyncio.create_task(put(replica)) for replica in range(2)]
        await eventually(both_wait)
    first, second = sorted([await answer for answer in answers], key=lambda answer: -answer.status_code)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    rows = await postgres.execute("SELECT id, product_id, quantity_available FROM inventory_items")
    assert rows == [(UUID(second.json()["id"]), PRODUCT, second.json()["quantity_available"])]
    for replica in replicas:
        await replica.service.database.stop()


async def test_what_arrives_while_orders_come_is_added_once_and_none_of_it_is_lost(postgres: Postgres) -> None:
    """Each delivery is said three times, to whichever replica."""
    await postgres.stock(PRODUCT, 10)
    orders = [take(postgres, [received(order_created((PRODUCT, 1)))]) for _ in range(50)]
    deliveries = [postgres.change(PRODUCT, 2, f"delivery-{number}") for number in range(20) for _ in range(3)]
    taken = [postgres.change(PRODUCT, -1, f"broken-{number}") for number in range(10)]
    acts = [*orders, *deliveries, *taken]
    random.Random(7).shuffle(acts)
    results = await asyncio.gather(*acts)
    changed = [result for result in results if isinstance(result, Changed)]
    added = {one.change.id: one.change.difference for one in changed}
    assert sum(added.values()) == 40 - sum(difference == -1 for difference in added.values())
    assert sum(not one.replayed for one in changed) == len(added)
    held = (await postgres.statuses())["held"]
    assert await postgres.stored_quantities(PRODUCT) == (10 + sum(added.values()) - held, held)


async def test_of_many_who_set_what_they_have_read_one_does_and_nothing_is_overwritten(
    postgres: Postgres, inventory_url: str
) -> None:
    """With orders and deliveries in between; who was refused reads again and adds one more."""
    main = load_main(DATABASE_URL=inventory_url, RABBITMQ_URL=f"amqp://{NOWHERE}/")
    await postgres.stock(PRODUCT, 0)

    async def count_one_more(client: httpx.AsyncClient) -> None:
        while True:
            read = await client.get(f"/inventory/{PRODUCT}")
            body = {"quantity_available": read.json()["quantity_available"] + 1}
            headers = {"if-match": read.headers["etag"]}
            answer = await client.put(f"/inventory/{PRODUCT}", json=body, headers=headers)
            if answer.status_code == 200:
                return
            assert answer.status_code == 412

    async with client_of(main) as client:
        await asyncio.gather(*(count_one_more(client) for _ in range(8)), *(postgres.change(PRODUCT, 1) for _ in "abc"))
    assert await postgres.stored_quantities(PRODUCT) == (11, 0)
    await main.service.database.stop()
