from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import httpx
import pytest
from aio_pika import ExchangeType
from chassis.messaging.broker import Broker
from chassis.messaging.envelope import Encoder
from chassis.messaging.publisher import Outbox
from chassis.messaging.topology import EXCHANGE, Queue
from chassis.postgres.database import Database
from chassis.runtime.settings import DatabaseSettings
from sqlalchemy import text

from infrastructure.messages import PUBLISHED
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import OrdersUnitOfWork
from tests.running import NOWHERE, World, load_main, running, world

Units = Callable[[], OrdersUnitOfWork]


@pytest.fixture(scope="session")
def orders_url(database_url: str) -> str:
    """The test database, for the role that the service has when it does not run as an administrator."""
    address = urlsplit(database_url)
    return urlunsplit(address._replace(netloc=f"{SCHEMA}:{SCHEMA}@{address.netloc.rpartition('@')[2]}"))


@pytest.fixture(scope="session")
async def database(orders_url: str) -> AsyncIterator[Database]:
    database = Database(DatabaseSettings(database_url=orders_url), service="order-service", schema=SCHEMA)
    yield database
    await database.stop()


@pytest.fixture(scope="module")
async def units(database: Database) -> AsyncIterator[Units]:
    """Units of work without a broker: what they commit stays in the outbox, and is forgotten at the end."""
    outbox = Outbox(database, Broker(f"amqp://{NOWHERE}/", Queue("order-service", [])))
    yield lambda: OrdersUnitOfWork(database, Encoder("order-service", PUBLISHED), outbox)
    async with database.autocommit() as connection:
        await connection.execute(text("DELETE FROM outbox"))


@pytest.fixture(scope="session")
async def broker_url(rabbitmq_url: str) -> str:
    """The test vhost, with a queue for what this service publishes, as the other services have: unread events would
    stay in the outbox, which is then not healthy."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        await (await channel.declare_queue("another-service", durable=True)).bind(exchange, "order.*")
    return rabbitmq_url


@pytest.fixture(scope="module")
async def service(orders_url: str, broker_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(load_main(DATABASE_URL=orders_url, RABBITMQ_URL=broker_url)) as client:
        yield client


@pytest.fixture(scope="module")
async def others(service: httpx.AsyncClient, broker_url: str) -> AsyncIterator[World]:
    """The other services, played by the test."""
    async with world(broker_url) as around:
        yield around
