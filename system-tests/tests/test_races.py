"""Many things at the same moment: oversell, cancellations that race the payment, and events in disorder."""

import asyncio
import random
from uuid import UUID

from bus import Bus, Management
from disorder import disorder
from operations.addresses import SERVICES
from operations.load import Load, settled_books
from operations.shop import Line
from shop import Shop
from system import System


async def test_of_200_concurrent_orders_for_50_pieces_exactly_50_are_completed(shop: Shop, system: System) -> None:
    product = await shop.stock(50)

    placed = await asyncio.gather(*(shop.place(Line(product)) for _ in range(200)))
    ended = await asyncio.gather(*(shop.ended(order["id"], within_seconds=30) for order in placed))

    assert [order["status"] for order in ended].count("completed") == 50
    assert [order["reason"] for order in ended].count("out-of-stock") == 150
    assert await settled_books(system.database_url, {product: 50}, within_seconds=15) == []
    assert await shop.stock_of(product) == (0, 0)


async def test_an_idempotency_key_that_comes_many_times_at_once_makes_one_order(shop: Shop, system: System) -> None:
    product = await shop.stock(50)
    customer = UUID(int=7, version=4)
    headers = {"Idempotency-Key": f"once-{product}"}

    answers = await asyncio.gather(*(shop.ask(Line(product), customer=customer, headers=headers) for _ in range(30)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert (await shop.ended(answers[0].json()["id"]))["status"] == "completed"
    assert await settled_books(system.database_url, {product: 50}, within_seconds=15) == []
    assert await shop.stock_of(product) == (49, 0)


async def test_a_cancellation_that_races_the_payment_has_one_winner(
    shop: Shop, system: System, chance: random.Random
) -> None:
    product = await shop.stock(1000)
    load = Load(
        system.urls["order-service"],
        [product],
        clients=8,
        cancel=1.0,
        patience_seconds=0.3,
        difficult=0.1,
        pause_seconds=0.01,
        chance=chance,
    )

    await load.place(200)

    assert len(load.cancelled) + len(load.kept) == 200
    for order_id in load.cancelled:
        assert (await shop.order(order_id))["status"] == "cancelled"
    for order_id in load.kept:
        assert (await shop.order(order_id))["status"] in ("completed", "failed")
    assert await settled_books(system.database_url, {product: 1000}, within_seconds=30) == []


async def test_duplicates_and_disorder_of_every_event_change_nothing(
    shop: Shop, system: System, channel: Bus, management: Management, chance: random.Random
) -> None:
    products = [await shop.stock(200) for _ in range(5)]
    load = Load(
        system.urls["order-service"],
        products,
        clients=8,
        cancel=0.3,
        patience_seconds=0.6,
        difficult=0.2,
        pause_seconds=0.02,
        chance=chance,
    )
    for service in SERVICES:
        await channel.take(f"{service}.dlq")
    duplicates = [await shop.metric(service, "events_duplicate_total") for service in SERVICES]

    async with disorder(channel, management, chance):
        await load.place(200)
        found = await settled_books(system.database_url, dict.fromkeys(products, 200), within_seconds=40)

    assert found == []
    for service, before in zip(SERVICES, duplicates, strict=True):
        assert await channel.take(f"{service}.dlq") == []
        assert await shop.metric(service, "events_duplicate_total") > before
