from collections.abc import AsyncIterator
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from chassis.postgres.database import Database
from chassis.testing.pruning import emptied
from chassis.testing.running import running
from chassis.testing.world import World, make_reader, world

from infrastructure.tables import SCHEMA, metadata
from tests.gateway import FakeGateway
from tests.integration.worker import Worker
from tests.running import load_main

SAYS = "payment.*"


@pytest.fixture(scope="session")
def payments_url(database_url: str) -> str:
    """The test database, for the role that the service has when it does not run as an administrator."""
    address = urlsplit(database_url)
    return urlunsplit(address._replace(netloc=f"{SCHEMA}:{SCHEMA}@{address.netloc.rpartition('@')[2]}"))


@pytest.fixture
async def database(payments_url: str, database_url: str) -> AsyncIterator[Database]:
    """The service's tables, empty at the beginning and at the end."""
    async with emptied(database_url, SCHEMA, metadata):
        database = Database(lambda: payments_url, pool_size=10, service="payment-service", schema=SCHEMA)
        yield database
        await database.stop()


@pytest.fixture
def worker(database: Database) -> Worker:
    return Worker(database, FakeGateway())


@pytest.fixture(scope="session")
async def broker_url(rabbitmq_url: str) -> str:
    """The test vhost, in which somebody reads what this service publishes."""
    await make_reader(rabbitmq_url, SAYS)
    return rabbitmq_url


@pytest.fixture(scope="module")
def main(payments_url: str, broker_url: str) -> ModuleType:
    return load_main(
        DATABASE_URL=payments_url,
        RABBITMQ_URL=broker_url,
        PAYMENT_SUCCESS_RATE="1",
        PAYMENT_RETRY_DELAYS_SECONDS="0.1,0.2,0.3",
    )


@pytest.fixture(scope="module")
async def service(main: ModuleType) -> AsyncIterator[httpx.AsyncClient]:
    async with running(main) as client:
        yield client


@pytest.fixture(scope="module")
async def others(service: httpx.AsyncClient, broker_url: str) -> AsyncIterator[World]:
    """The other services, played by the test."""
    async with world(broker_url, "payment-service", SAYS) as around:
        yield around
