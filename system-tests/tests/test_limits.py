"""Too much of everything: what can't be done now is refused or waits in a queue or a table, never in memory."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from aio_pika.exceptions import ChannelPreconditionFailed
from chassis.messaging.envelope import MAX_BODY_BYTES
from chassis.testing import eventually

from bus import Event, bus
from operations.addresses import SERVICES
from operations.load import Load, all_final, settled_books
from operations.shop import Line
from shop import Shop
from system import ROOT, System, fresh_system
from way import development_only

MOST_MEGABYTES = 220
"""What a service may grow to under any of this; it begins with about 80."""
IN_HAND = 1_000
"""Requests that an instance has in hand at most."""


@pytest.fixture(scope="module")
async def flooded(servers: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    logs = tmp_path_factory.mktemp("logs")
    async with fresh_system(logs, proxied=True, PAYMENT_SUCCESS_RATE="1", LOG_LEVEL="INFO") as running:
        yield running


def megabytes(system: System) -> dict[str, int]:
    """What each service has in memory now."""
    pids = {name: str(service.pid) for name, service in system.services.items()}
    found = {
        name: int(subprocess.check_output(["ps", "-o", "rss=", "-p", pid], text=True)) // 1024
        for name, pid in pids.items()
    }
    print(found)
    return found


@development_only("an edge takes no such flood from one address, see attacks/test_edge_floods.py")
async def test_a_flood_of_requests_is_refused_beyond_what_is_in_hand(
    flooded: System, client: httpx.AsyncClient
) -> None:
    shop = Shop(flooded, client)
    product = await shop.stock(100_000)
    load = Load(flooded.urls["order-service"], [product], clients=IN_HAND + 300, cancel=0)
    administrator = await asyncpg.connect(flooded.database_url.replace("+asyncpg", ""))
    try:
        stalled = administrator.transaction()
        await stalled.start()
        await administrator.execute("LOCK TABLE orders.orders")
        placing = asyncio.create_task(load.place(2 * IN_HAND))

        async def many_are_refused() -> bool:
            return load.refused[503] >= 1_000

        await eventually(many_are_refused, seconds=30)
        refusal = await shop.ask(Line(product))
        assert (await flooded.health("order-service", "/health/live"))[0] == 200
        await stalled.rollback()
        await placing
        assert refusal.status_code == 503
        assert int(refusal.headers["retry-after"]) > 0
        assert set(load.refused) == {503}, "nobody was left without an answer"
        assert await all_final(administrator, load.accepted, within_seconds=60)
    finally:
        await administrator.close()
    assert max(megabytes(flooded).values()) < MOST_MEGABYTES
    assert await settled_books(flooded.database_url, {product: 100_000}, within_seconds=15) == []


async def test_orders_of_a_long_time_without_the_broker_wait_as_rows(
    flooded: System, client: httpx.AsyncClient
) -> None:
    assert flooded.broker is not None
    product = await Shop(flooded, client).stock(100_000)
    await flooded.broker.take_away()
    load = Load(flooded.urls["order-service"], [product], clients=64, cancel=0.05)
    await load.place(4_000)
    assert max(megabytes(flooded).values()) < MOST_MEGABYTES
    flooded.broker.restore()
    administrator = await asyncpg.connect(flooded.database_url.replace("+asyncpg", ""))
    try:
        assert await all_final(administrator, load.accepted, within_seconds=120)
    finally:
        await administrator.close()
    assert max(megabytes(flooded).values()) < MOST_MEGABYTES
    assert await settled_books(flooded.database_url, {product: 100_000}, within_seconds=30) == []


async def test_the_broker_takes_what_a_service_reads_and_sets_aside_and_hardly_more(
    servers: None, rabbitmq_url: str
) -> None:
    async with bus(rabbitmq_url) as channel:
        queue = await channel.channel.declare_queue(exclusive=True)
        for size in (MAX_BODY_BYTES, MAX_BODY_BYTES + 64 * 1024):
            await channel.send(b"x" * size, routing_key=queue.name, exchange="")
        with pytest.raises(ChannelPreconditionFailed, match="larger than"):
            await channel.send(b"x" * (MAX_BODY_BYTES + 256 * 1024), routing_key=queue.name, exchange="")


async def test_a_flood_of_events_waits_in_the_queue(flooded: System) -> None:
    """Of the largest messages that services send themselves; each event leaves a tombstone or a notification."""
    example: Event = json.loads((ROOT / "order-service/contracts/OrderFailed.example.json").read_text())

    def event() -> Event:
        order_id = str(uuid4())
        data = example["data"] | {"order_id": order_id, "padding": "x" * 500}
        return example | {"id": str(uuid4()), "subject": order_id, "data": data}

    await flooded.stop("inventory-service", "payment-service", "notification-service")
    async with bus(flooded.rabbitmq_url) as channel:
        for _ in range(150):
            await channel.send_events([event() for _ in range(100)], routing_key="order.failed")
        flooded.start("inventory-service", "payment-service", "notification-service")
        highest: dict[str, int] = dict.fromkeys(SERVICES, 0)

        async def all_is_read() -> bool:
            for name, now in megabytes(flooded).items():
                highest[name] = max(highest[name], now)
            return [await channel.state(service) for service in SERVICES] == [(0, 1)] * len(SERVICES)

        await eventually(all_is_read, seconds=150)
    await flooded.healthy()
    assert max(highest.values()) < MOST_MEGABYTES, highest
