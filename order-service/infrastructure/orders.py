"""Orders in PostgreSQL."""

from collections.abc import Collection, Sequence
from uuid import UUID

from chassis.postgres.repository import Mapped, PostgresRepository
from sqlalchemy import bindparam

from domain.order import Order
from infrastructure.tables import orders

ORDERS = Mapped(orders, Order, key="id")
OVERDUE = ORDERS.lock_due(orders.c.due_at)
OF_CUSTOMER = ORDERS.page(orders.c.id, orders.c.customer_id == bindparam("customer_id"))
OPEN_OF_CUSTOMERS = ORDERS.count(orders.c.customer_id, orders.c.due_at)


class PostgresOrders(PostgresRepository[Order]):
    mapped = ORDERS

    async def count_open(self, customer_ids: Collection[UUID]) -> dict[UUID, int]:
        return await self.counts(OPEN_OF_CUSTOMERS, customer_ids)

    async def locked_overdue(self, limit: int) -> Sequence[Order]:
        return await self.locked_by(OVERDUE, most=limit)

    async def of_customer(self, customer_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Order]:
        """The customer's orders, newest first, with ids below `before`."""
        return await self.newest(OF_CUSTOMER, before=before, limit=limit, customer_id=customer_id)
