"""Whoever waits asks again: what the broker has forgotten costs no order its outcome."""

from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from chassis.testing import eventually

from bus import Bus, events_in
from operations.load import settled_books
from operations.shop import Line, metric
from shop import Shop
from system import System
from way import development_only

ORDERS = 5
SAID_AGAIN_WITHIN_SECONDS = 75
"""An order asks 30 s after it was placed; a reservation 60 s after it was made."""


async def reminders(client: httpx.AsyncClient, system: System) -> dict[str, float]:
    """How many of each kind there were."""
    return {
        kind: await metric(client, system.internal_urls[service], f'reminders_total{{kind="{kind}"}}')
        for service, kind in (
            ("order-service", "order"),
            ("order-service", "decision"),
            ("inventory-service", "reservation"),
        )
    }


@development_only("in production the deploy step makes a deleted queue again before anything is lost")
@pytest.mark.parametrize("service", ["inventory-service", "payment-service"])
async def test_orders_placed_while_a_queue_is_deleted_complete_once_its_service_is_back(
    service: str, shop: Shop, system: System, client: httpx.AsyncClient, channel: Bus
) -> None:
    before = await reminders(client, system)
    product = await shop.stock(100)
    await system.stop(service)
    await channel.channel.queue_delete(service)
    orders = [await shop.place(Line(product)) for _ in range(ORDERS)]
    if service == "payment-service":  # its copy of the news is gone for good before it is back
        await eventually(lambda: _all(shop, orders, "confirmed"))

    system.start(service)
    await system.healthy()

    for order in orders:
        ended = await shop.ended(order["id"], within_seconds=SAID_AGAIN_WITHIN_SECONDS)
        assert (ended["status"], ended["reason"]) == ("completed", None)
    assert await settled_books(system.database_url, {product: 100}, within_seconds=SAID_AGAIN_WITHIN_SECONDS) == []
    after = await reminders(client, system)
    assert after["order"] >= before["order"] + ORDERS


async def _all(shop: Shop, orders: list[dict[str, str]], status: str) -> bool:
    return {(await shop.order(order["id"]))["status"] for order in orders} == {status}


async def test_a_cancel_that_inventory_never_heard_of_is_said_again_until_the_stock_is_free(
    shop: Shop, system: System, client: httpx.AsyncClient, channel: Bus
) -> None:
    before = await reminders(client, system)
    await system.stop("payment-service")
    product = await shop.stock(10)
    order = await shop.place(Line(product, 3))
    await eventually(lambda: _all(shop, [order], "confirmed"))
    await system.stop("inventory-service")
    await shop.cancel(order["id"])
    await eventually(lambda: _brings(channel, "inventory-service", "OrderCancelled"))
    await eventually(lambda: _brings(channel, "payment-service", "OrderCancelled"))
    system.start("inventory-service", "payment-service")
    await system.healthy()
    assert await shop.stock_of(product) == (7, 3)

    connection = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
    try:  # a minute passes, and the reservation does not ask
        await connection.execute(
            "UPDATE inventory.reservations SET remind_at = NULL WHERE order_id = $1", UUID(order["id"])
        )
        await connection.execute("UPDATE orders.orders SET remind_at = now() WHERE id = $1", UUID(order["id"]))
    finally:
        await connection.close()

    assert await settled_books(system.database_url, {product: 10}, within_seconds=20) == []
    assert await shop.stock_of(product) == (10, 0)
    assert [line["event"] for line in await shop.timeline(order["id"])][-1] == "InventoryReleased"
    assert (await reminders(client, system))["decision"] > before["decision"]


async def _brings(channel: Bus, queue: str, name: str) -> bool:
    """Empties the queue, of a service that is down; whether that event was in it."""
    return name in [event["type"] for message in await channel.take(queue) for event in events_in(message)]
