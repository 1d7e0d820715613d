"""The unit of work with this service's repositories, in PostgreSQL."""

from collections.abc import Sequence
from uuid import UUID

from chassis.postgres.repository import Mapped, PostgresRepository
from chassis.postgres.unit_of_work import UnitOfWork

from domain.item import Item, StockChange
from domain.reservation import Reservation, Status
from infrastructure.tables import inventory_items, reservations, stock_changes

RESERVATIONS = Mapped(reservations, Reservation, key="order_id")
# Nothing is reserved past the order's deadline, so a tombstone can be deleted some time later.
OLD_TOMBSTONES = RESERVATIONS.prune(reservations.c.due_at, reservations.c.status == Status.VOID)
ITEMS = Mapped(inventory_items, Item, key="product_id")
CHANGES = Mapped(stock_changes, StockChange, key="id")
OLD_CHANGES = CHANGES.prune(stock_changes.c.due_at)
ALL = ITEMS.page(inventory_items.c.id)


class PostgresReservations(PostgresRepository[Reservation]):
    mapped = RESERVATIONS


class PostgresItems(PostgresRepository[Item]):
    mapped = ITEMS

    async def listed(self, *, before: UUID | None, limit: int) -> Sequence[Item]:
        """Items with an id below `before`, the newest first."""
        return await self.newest(ALL, before=before, limit=limit)


class PostgresStockChanges(PostgresRepository[StockChange]):
    mapped = CHANGES


class InventoryUnitOfWork(UnitOfWork):
    def open_repositories(self) -> None:
        self.reservations = self.tracked(PostgresReservations(self.connection))
        self.items = self.tracked(PostgresItems(self.connection))
        self.changes = self.tracked(PostgresStockChanges(self.connection))
