"""The servers away, and back: cut off by proxies of ours, so that nobody else's connections suffer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from uuid import UUID

import httpx
import pytest
from chassis.testing import eventually

from bus import Bus, Management, bus
from operations.addresses import ROLES, SERVICES
from operations.load import Load, settled_books
from operations.shop import Line
from proxy import Proxy
from shop import Shop
from system import System

SHOWN_WITHIN_SECONDS = 30
"""By when health must tell of a link that is gone."""
LEASE_SECONDS = 30
WITHOUT_BROKER = {service: {"broker", "consumer"} for service in SERVICES}
WITHOUT_DATABASE: dict[str, set[str]] = {service: {"database"} if service in ROLES else set() for service in SERVICES}


@pytest.fixture(scope="module")
def broker(bare_system: System) -> Proxy:
    assert bare_system.broker is not None
    return bare_system.broker


@pytest.fixture(scope="module")
def database(bare_system: System) -> Proxy:
    assert bare_system.database is not None
    return bare_system.database


@pytest.fixture(scope="module")
def bare_shop(bare_system: System, client: httpx.AsyncClient) -> Shop:
    return Shop(bare_system, client)


@pytest.fixture(scope="module")
async def bare_channel(bare_system: System) -> AsyncIterator[Bus]:
    async with bus(bare_system.rabbitmq_url) as connected:
        yield connected


async def shows(system: System, red: Mapping[str, set[str]]) -> None:
    """Returns once /health of each of these services shows that exactly these checks fail."""
    seen: dict[str, set[str]] = {}

    async def red_checks(service: str) -> None:
        _, health = await system.health(service)
        checks = health.get("checks", {"no answer": {"status": "failing"}})
        seen[service] = {name for name, check in checks.items() if check["status"] == "failing"}

    async def all_show() -> bool:
        await asyncio.gather(*map(red_checks, red))
        return seen == red

    try:
        await eventually(all_show, seconds=SHOWN_WITHIN_SECONDS)
    except TimeoutError:
        pytest.fail(f"{seen} instead of {red}")


async def completed(shop: Shop, orders: list[dict[str, str]], *, within_seconds: float) -> None:
    ended = await asyncio.gather(*(shop.ended(order["id"], within_seconds=within_seconds) for order in orders))
    assert {order["status"] for order in ended} == {"completed"}


async def every_queue_is_read(channel: Bus) -> None:
    """Each queue has its one consumer, and nothing waits in it or has become a dead letter."""

    async def read() -> bool:
        states = [await channel.state(service) for service in SERVICES]
        return states == [(0, 1)] * len(SERVICES)

    await eventually(read)
    assert [await channel.state(f"{service}.dlq") for service in SERVICES] == [(0, 0)] * len(SERVICES)


async def test_services_start_in_any_order_before_their_servers(
    bare_system: System, bare_shop: Shop, bare_channel: Bus, broker: Proxy, database: Proxy
) -> None:
    product = await bare_shop.stock(1)
    await bare_system.stop()
    said = {service: len(bare_system.services[service].lines()) for service in SERVICES}
    await broker.take_away()
    await database.take_away()

    bare_system.start("notification-service", "payment-service", "inventory-service", "order-service")
    await shows(bare_system, {service: WITHOUT_BROKER[service] | WITHOUT_DATABASE[service] for service in SERVICES})
    for service in SERVICES:
        assert (await bare_system.health(service, "/health/live"))[0] == 200
    assert (await bare_shop.ask(Line(product))).status_code == 503
    broker.restore()
    database.restore()
    await bare_system.healthy()

    await completed(bare_shop, [await bare_shop.place(Line(product))], within_seconds=15)
    await every_queue_is_read(bare_channel)
    for service in SERVICES:
        events = [str(line["event"]) for line in bare_system.services[service].lines()[said[service] :]]
        assert sum(event.startswith("broker away") for event in events) == 1
        assert sum(event.startswith("database away") for event in events) == (service in ROLES)


async def test_orders_are_taken_while_the_broker_is_away_and_go_on_when_it_is_back(
    bare_system: System, bare_shop: Shop, bare_channel: Bus, broker: Proxy
) -> None:
    product = await bare_shop.stock(100)
    flowing = [await bare_shop.place(Line(product)) for _ in range(10)]
    await broker.take_away()
    await shows(bare_system, WITHOUT_BROKER)

    meanwhile = [await bare_shop.place(Line(product)) for _ in range(10)]
    assert (await bare_system.health("order-service", "/health/ready"))[0] == 200
    assert (await bare_system.health("order-service", "/health/live"))[0] == 200
    assert {(await bare_shop.order(order["id"]))["status"] for order in meanwhile} == {"pending"}
    broker.restore()

    await completed(bare_shop, flowing + meanwhile, within_seconds=40)
    await bare_system.healthy()
    await every_queue_is_read(bare_channel)
    assert await settled_books(bare_system.database_url, {product: 100}, within_seconds=15) == []


async def test_while_the_database_is_away_requests_are_refused_and_no_event_is_lost(
    bare_system: System, bare_shop: Shop, bare_channel: Bus, database: Proxy
) -> None:
    product = await bare_shop.stock(100)
    flowing = await asyncio.gather(*(bare_shop.place(Line(product)) for _ in range(20)))
    await database.take_away()

    refusal = await bare_shop.ask(Line(product))

    await shows(bare_system, WITHOUT_DATABASE)
    assert refusal.status_code == 503
    assert refusal.headers["content-type"] == "application/problem+json"
    assert refusal.json()["type"] == "/problems/unavailable"
    assert int(refusal.headers["retry-after"]) > 0
    for service in ROLES:
        assert (await bare_system.health(service, "/health/ready"))[0] == 503
        assert (await bare_system.health(service, "/health/live"))[0] == 200
    database.restore()
    await bare_system.healthy()
    await completed(bare_shop, flowing, within_seconds=LEASE_SECONDS + 15)
    await every_queue_is_read(bare_channel)
    assert await settled_books(bare_system.database_url, {product: 100}, within_seconds=15) == []


async def test_a_dead_link_shows_in_health_and_is_made_anew(
    bare_system: System, bare_shop: Shop, bare_channel: Bus, broker: Proxy, database: Proxy
) -> None:
    """Nothing comes and nothing is closed, as when a cable is pulled."""
    database.silence()
    await shows(bare_system, WITHOUT_DATABASE)
    database.restore()
    await bare_system.healthy()
    broker.silence()
    await shows(bare_system, WITHOUT_BROKER)
    broker.restore()

    await bare_system.healthy()
    order = await bare_shop.place(Line(await bare_shop.stock(1)))
    await completed(bare_shop, [order], within_seconds=15)
    await every_queue_is_read(bare_channel)


async def test_a_service_stops_in_order_though_its_database_does_not_answer(
    bare_system: System, database: Proxy
) -> None:
    """A server that is gone closes no connection, and the pool has up to ten."""
    database.silence()
    try:
        await bare_system.stop(*ROLES)  # raises TimeoutError, and the orchestrator would kill it
    finally:
        database.restore()
        bare_system.start(*ROLES)
        await bare_system.healthy()


async def test_a_queue_that_somebody_deleted_is_made_again_and_what_it_should_have_taken_waits(
    bare_system: System, bare_shop: Shop, bare_channel: Bus
) -> None:
    """As far as it can: what was in the queue is gone, and so is, for this reader, an event that only others took. Such
    an order ends by its deadline. OrderCreated has no other reader."""
    for service in SERVICES:
        await bare_channel.channel.queue_delete(service)
    await every_queue_is_read(bare_channel)
    await bare_system.healthy()
    product = await bare_shop.stock(10)
    await bare_channel.channel.queue_delete("inventory-service")

    orders = [await bare_shop.place(Line(product)) for _ in range(10)]

    await completed(bare_shop, orders, within_seconds=60)
    await bare_system.healthy()
    await every_queue_is_read(bare_channel)
    assert await settled_books(bare_system.database_url, {product: 10}, within_seconds=15) == []


async def test_connections_that_an_administrator_closes_are_made_anew(
    system: System, shop: Shop, management: Management, channel: Bus
) -> None:
    products: list[UUID] = [await shop.stock(1000)]
    load = Load(system.urls["order-service"], products, clients=8, cancel=0.1, pause_seconds=0.05)
    placing = asyncio.create_task(load.place(200))
    closed = 0

    async def all_were_closed() -> bool:
        nonlocal closed
        closed += await management.close_connections()
        return closed >= len(SERVICES)

    await eventually(all_were_closed)
    await placing

    assert not load.refused
    await system.healthy()
    assert await settled_books(system.database_url, dict.fromkeys(products, 1000), within_seconds=40) == []
    for service in SERVICES:
        assert (await channel.state(service))[1] == 1
