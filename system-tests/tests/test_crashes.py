"""Services that end in mid-flow: killed, or told to stop."""

import asyncio
import random
from collections import defaultdict
from uuid import UUID

from chassis.testing import eventually

from operations import books
from operations.addresses import ROLES, SERVICES
from operations.load import Load, settled_books
from shop import Shop
from system import System

LEASE_SECONDS = 30
"""How long an attempt of a killed payment service keeps others from asking again."""


async def steady_load(shop: Shop, system: System, chance: random.Random) -> tuple[Load, list[UUID]]:
    products = [await shop.stock(10_000) for _ in range(10)]
    load = Load(
        system.urls["order-service"],
        products,
        clients=12,
        cancel=0.2,
        difficult=0.1,
        pause_seconds=0.1,
        chance=chance,
    )
    return load, products


async def reaches(load: Load, accepted: int) -> None:
    await eventually(lambda: len(load.accepted) >= accepted, seconds=60)


def charged_twice(system: System) -> list[str]:
    """Orders for which the gateway has taken money under two keys, as the payment service's log tells."""
    keys: dict[str, set[str]] = defaultdict(set)
    for line in system.services["payment-service"].lines():
        if line.get("event") == "payment attempt" and line["kind"] == "charge" and line["answer"] == "done":
            keys[line["order"]].add(line["key"])
    return [order for order, used in keys.items() if len(used) > 1]


async def test_no_kill_of_any_service_loses_an_order_or_takes_money_twice(
    shop: Shop, system: System, chance: random.Random
) -> None:
    load, products = await steady_load(shop, system, chance)
    placing = asyncio.create_task(load.place(600))

    for number, service in enumerate(SERVICES):
        await reaches(load, 60 + number * 120)
        await system.kill(service)
        system.start(service)
        await system.healthy(service)
    await placing

    initial = dict.fromkeys(products, 10_000)
    assert await settled_books(system.database_url, initial, within_seconds=LEASE_SECONDS + 30) == []
    known = (await books.read(system.database_url)).orders
    assert [order_id for order_id in load.accepted if UUID(order_id) not in known] == []
    for order_id in load.cancelled:
        assert known[UUID(order_id)]["status"] == "cancelled"
    assert charged_twice(system) == []


async def test_a_service_that_is_told_to_stop_finishes_what_is_in_hand(
    shop: Shop, system: System, chance: random.Random
) -> None:
    load, products = await steady_load(shop, system, chance)
    placing = asyncio.create_task(load.place(300))
    await reaches(load, 100)

    await system.stop()

    for service in SERVICES:
        events = [line["event"] for line in system.services[service].lines()]
        assert "stopped" in events[-5:], f"{service} ended by {events[-5:]}"
    standing = await books.read(system.database_url)
    assert standing.outboxes == dict.fromkeys(ROLES.values(), 0)
    assert [payment["order_id"] for payment in standing.payments.values() if payment["lease"] is not None] == []

    system.start()
    await system.healthy()
    await placing
    assert await settled_books(system.database_url, dict.fromkeys(products, 10_000), within_seconds=30) == []
