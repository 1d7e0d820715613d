"""The servers and the pieces of a service, for the tests of the chassis."""

from collections.abc import AsyncIterator, Callable

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from chassis.messaging.broker import Broker
from chassis.messaging.publisher import Publisher
from chassis.postgres.database import Database
from chassis.postgres.outbox import OutboxRows
from tests.note_service import QUEUE, SERVICE, NotesUnitOfWork, metadata

pytest_plugins = ["chassis.testing", "tests.watch", "tests.consuming", "tests.parcels", "tests.recording"]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(lambda: database_url, pool_size=10, service=SERVICE, schema="public")
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    await database.stop()


@pytest.fixture
async def broker(rabbitmq_url: str) -> AsyncIterator[Broker]:
    """Not started: a consumer may have to be named first."""
    broker = Broker(lambda: rabbitmq_url, QUEUE)
    yield broker
    await broker.stop()


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of the test's own. The queues are emptied first."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        for name in (SERVICE, f"{SERVICE}.dlq", "watch"):
            await channel.queue_delete(name)
        yield channel


@pytest.fixture
async def publisher(database: Database, broker: Broker) -> AsyncIterator[Publisher]:
    publisher = Publisher(OutboxRows(database), broker, SERVICE)
    yield publisher
    await publisher.stop()


@pytest.fixture
def units(database: Database, publisher: Publisher) -> Callable[[], NotesUnitOfWork]:
    return lambda: NotesUnitOfWork(database, publisher)
