"""Items of stock in PostgreSQL."""

from collections.abc import Sequence
from uuid import UUID

from chassis.postgres.repository import Mapped, PostgresRepository

from domain.item import Item
from infrastructure.tables import inventory_items

ITEMS = Mapped(inventory_items, Item, key="product_id")
ALL = ITEMS.page(inventory_items.c.id)


class PostgresItems(PostgresRepository[Item]):
    mapped = ITEMS

    async def listed(self, *, before: UUID | None, limit: int) -> Sequence[Item]:
        """Items with an id below `before`, the newest first."""
        return await self.newest(ALL, before=before, limit=limit)
