"""The real store, with what the tests ask of it besides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from chassis.messaging.broker import Broker
from chassis.messaging.envelope import Encoder
from chassis.messaging.publisher import Outbox
from chassis.messaging.topology import Queue
from chassis.postgres.database import Database
from chassis.runtime.settings import DatabaseSettings
from sqlalchemy import text

from infrastructure.items import PostgresItems
from infrastructure.messages import PUBLISHED
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import InventoryUnitOfWork

SERVICE = "inventory-service"


class PostgresStore:
    """What a unit publishes stays in the outbox: there is no broker."""

    def __init__(self, database_url: str) -> None:
        settings = DatabaseSettings(database_url=database_url)
        self.database = Database(settings, service=SERVICE, schema=SCHEMA)
        self._outbox = Outbox(self.database, Broker(settings.rabbitmq_url, Queue(SERVICE, [])))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.database.stop()

    async def empty(self) -> None:
        await self.execute("TRUNCATE inventory_items, holds, inbox, outbox")

    def units(self) -> InventoryUnitOfWork:
        return InventoryUnitOfWork(self.database, Encoder(SERVICE, PUBLISHED), self._outbox)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[InventoryUnitOfWork]:
        """Commits when it is left, and does nothing when it is left by an exception."""
        async with self.units() as unit:
            await unit.start()
            yield unit
            await unit.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[PostgresItems]:
        async with self.database.autocommit() as connection:
            yield PostgresItems(connection)

    async def execute(self, statement: str, **parameters: object) -> list[Any]:
        async with self.database.autocommit() as connection:
            result = await connection.execute(text(statement), parameters)
            return list(result) if result.returns_rows else []

    async def someone_waits(self) -> bool:
        """Whether a transaction waits for a lock that another one has."""
        return bool(
            await self.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
