"""What all system tests share: one running system, a shop to order from, and a listener that hears every event."""

import os
import random
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from chassis.testing import watched

import way
from bus import Bus, Listener, Management, bus
from operations import restore
from shop import Shop
from story import Teller
from system import System, fresh_system, management_url


@pytest.fixture(scope="session")
def servers(database_url: str, rabbitmq_url: str) -> None:
    """Skips where there is no PostgreSQL or no RabbitMQ."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs no servers is the same in both ways."""
    for item in items:
        if way.SECURE and "servers" not in getattr(item, "fixturenames", ()):
            item.add_marker(
                pytest.mark.skip(reason="the same in both ways, and run in development: it needs no servers")
            )


@pytest.fixture(autouse=True)
def nobody_died() -> Iterator[None]:
    """A service that ended by itself is named, whatever the test made of it."""
    yield
    for look in watched:
        look()


@pytest.fixture(scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=20)
    async with way.client(limits=limits) as shared:
        yield shared


@pytest.fixture(scope="session")
async def system(servers: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """The system that most tests share, in which every charge succeeds but those of the test customers."""
    async with fresh_system(tmp_path_factory.mktemp("logs"), PAYMENT_SUCCESS_RATE="1") as running:
        yield running


@pytest.fixture(scope="session")
async def bare_system(servers: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A second system, with proxies before its servers. Nobody but the services themselves has furnished its vhost, so
    that no tap takes what no queue takes."""
    logs = tmp_path_factory.mktemp("logs")
    async with fresh_system(logs, proxied=True, with_definitions=False, PAYMENT_SUCCESS_RATE="1") as running:
        yield running


@pytest.fixture(scope="session")
def shop(system: System, client: httpx.AsyncClient) -> Shop:
    return Shop(system, client)


@pytest.fixture(scope="session")
async def channel(system: System) -> AsyncIterator[Bus]:
    async with bus(system.rabbitmq_url) as connected:
        yield connected


@pytest.fixture(scope="session")
async def listener(channel: Bus) -> AsyncIterator[Listener]:
    async with channel.messages() as arrived:
        yield Listener(arrived)


@pytest.fixture(scope="session")
async def management(system: System) -> AsyncIterator[Management]:
    async with httpx.AsyncClient(base_url=management_url(), timeout=30) as shared:
        yield Management(shared, system.vhost)


@pytest.fixture
async def own_profile(servers: None, database_url: str) -> str:
    """Whose servers are this run's own: they get an empty database, and services may be stopped on them."""
    profile = os.environ.get("ORDER_PROCESSING_PROFILE")
    if not profile:
        pytest.skip("replaces the database of a whole system: run `make test` at the root, which brings one of its own")
    async with restore.server(database_url) as connection:
        await connection.execute("DROP DATABASE IF EXISTS order_processing WITH (FORCE)")
        await connection.execute("CREATE DATABASE order_processing")
    return profile


@pytest.fixture
def teller(system: System, shop: Shop, listener: Listener) -> Teller:
    return Teller(system, shop, listener)


@pytest.fixture
def chance() -> random.Random:
    """Random numbers; a failing test shows the SEED that draws them again."""
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    return random.Random(seed)
