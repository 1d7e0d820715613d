"""The service's use cases on a real PostgreSQL."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from chassis.postgres.database import Database
from sqlalchemy import text

from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import InventoryUnitOfWork, PostgresItems
from tests.inventory import Inventory

SERVICE = "inventory-service"


class Postgres(Inventory):
    """What a unit publishes is recorded, and stays in the outbox: there is no broker."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self.database = Database(lambda: database_url, pool_size=10, service=SERVICE, schema=SCHEMA)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[InventoryUnitOfWork]:
        """Commits at the end, unless an exception leaves it."""
        async with self() as unit:
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

    async def stored_quantities(self, product_id: UUID) -> tuple[int, int]:
        """How much of the product can be ordered, and how much is reserved."""
        async with self.reading() as items:
            item = (await items.get([product_id]))[product_id]
        return item.quantity_available, item.reserved_quantity

    async def statuses(self) -> Counter[str]:
        """How many reservations have each status."""
        rows = await self.execute("SELECT status, count(*) FROM reservations GROUP BY status")
        return Counter({row.status: row.count for row in rows})

    async def waiting(self) -> int:
        """How many transactions wait for a lock."""
        [[number]] = await self.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(number)
