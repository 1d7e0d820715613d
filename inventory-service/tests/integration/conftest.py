from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from chassis.testing.running import running
from chassis.testing.world import World, make_reader, world

from infrastructure.tables import SCHEMA, metadata
from tests.postgres import Postgres
from tests.running import load_main

SAYS = "inventory.*"


@pytest.fixture(scope="session")
def inventory_url(database_url: str) -> str:
    """The test database, for the role that the service has when it does not run as an administrator."""
    address = urlsplit(database_url)
    return urlunsplit(address._replace(netloc=f"{SCHEMA}:{SCHEMA}@{address.netloc.rpartition('@')[2]}"))


@pytest.fixture
async def postgres(inventory_url: str) -> AsyncIterator[Postgres]:
    """The tables are empty at first."""
    postgres = Postgres(inventory_url)
    for table in metadata.sorted_tables:
        await postgres.execute(f"DELETE FROM {table.name}")
    yield postgres
    await postgres.database.stop()


@pytest.fixture(scope="session")
async def broker_url(rabbitmq_url: str) -> str:
    """The test vhost, in which somebody reads what this service publishes."""
    await make_reader(rabbitmq_url, SAYS)
    return rabbitmq_url


@pytest.fixture(scope="module")
async def service(inventory_url: str, broker_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(load_main(DATABASE_URL=inventory_url, RABBITMQ_URL=broker_url)) as client:
        yield client


@pytest.fixture
async def others(service: httpx.AsyncClient, broker_url: str) -> AsyncIterator[World]:
    """The other services, played by the test."""
    async with world(broker_url, "inventory-service", SAYS) as around:
        yield around
