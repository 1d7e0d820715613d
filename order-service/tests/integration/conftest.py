from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from chassis.postgres.database import Database
from chassis.runtime.service import Service
from chassis.testing.pruning import emptied
from chassis.testing.running import NOWHERE, running
from chassis.testing.world import World, make_reader, world

from infrastructure.tables import SCHEMA, metadata
from infrastructure.unit_of_work import OrderUnitOfWork
from tests.running import load_main

SAYS = "order.*"
Units = Callable[[], AbstractAsyncContextManager[OrderUnitOfWork]]


@pytest.fixture(scope="session")
def orders_url(database_url: str) -> str:
    """The test database, for the role that the service has when it does not run as an administrator."""
    address = urlsplit(database_url)
    return urlunsplit(address._replace(netloc=f"{SCHEMA}:{SCHEMA}@{address.netloc.rpartition('@')[2]}"))


@pytest.fixture(scope="session")
async def without_broker(orders_url: str) -> AsyncIterator[Service[OrderUnitOfWork]]:
    """The service as main.py composes it, not started, and with no broker: what it commits stays in the outbox."""
    service: Service[OrderUnitOfWork] = load_main(DATABASE_URL=orders_url, RABBITMQ_URL=f"amqp://{NOWHERE}/").service
    yield service
    await service.database.stop()


@pytest.fixture(scope="session")
def database(without_broker: Service[OrderUnitOfWork]) -> Database:
    return without_broker.database


@pytest.fixture
async def units(without_broker: Service[OrderUnitOfWork], database_url: str) -> AsyncIterator[Units]:
    """Units of work on tables that are empty at the beginning and at the end."""
    async with emptied(database_url, SCHEMA, metadata):
        yield without_broker.units


@pytest.fixture(scope="session")
async def broker_url(rabbitmq_url: str) -> str:
    """The test vhost, in which somebody reads what this service publishes."""
    await make_reader(rabbitmq_url, SAYS)
    return rabbitmq_url


@pytest.fixture(scope="module")
async def service(orders_url: str, broker_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(load_main(DATABASE_URL=orders_url, RABBITMQ_URL=broker_url)) as client:
        yield client


@pytest.fixture(scope="module")
async def others(service: httpx.AsyncClient, broker_url: str) -> AsyncIterator[World]:
    """The other services, played by the test."""
    async with world(broker_url, "order-service", SAYS) as around:
        yield around
