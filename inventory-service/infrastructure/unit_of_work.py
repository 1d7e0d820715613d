"""The unit of work of this service: the chassis's, with the repositories."""

from typing import Self

from chassis.postgres.unit_of_work import UnitOfWork

from infrastructure.holds import PostgresHolds
from infrastructure.items import PostgresItems


class InventoryUnitOfWork(UnitOfWork):
    holds: PostgresHolds
    items: PostgresItems

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.holds = PostgresHolds(self.connection)
        self.items = PostgresItems(self.connection)
        return self
