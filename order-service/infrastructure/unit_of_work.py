"""The unit of work with this service's repository, in PostgreSQL, and its idempotency keys."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from chassis.ports.unit_of_work import Claim
from chassis.postgres import idempotency
from chassis.postgres.repository import Mapped, PostgresRepository
from chassis.postgres.unit_of_work import UnitOfWork
from prometheus_client import Counter
from sqlalchemy import bindparam

from domain.order import Order, Status
from infrastructure.tables import orders

ORDERS = Mapped(orders, Order, key="id")
OVERDUE = ORDERS.lock_due(orders.c.due_at)
OF_CUSTOMER = ORDERS.page(orders.c.id, orders.c.customer_id == bindparam("customer_id"))
OPEN_OF_CUSTOMERS = ORDERS.count(orders.c.customer_id, orders.c.due_at)

ORDERS_BY_STATUS = Counter("orders", "Orders by the status that they have reached", ("status",))
_REACHED = {status: ORDERS_BY_STATUS.labels(status) for status in Status}


class PostgresOrders(PostgresRepository[Order]):
    mapped = ORDERS

    async def count_open(self, customer_ids: Collection[UUID]) -> dict[UUID, int]:
        return await self.counts(OPEN_OF_CUSTOMERS, customer_ids)

    async def locked_overdue(self, limit: int) -> Sequence[Order]:
        return await self.locked_by(OVERDUE, most=limit)

    async def of_customer(self, customer_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Order]:
        """The customer's orders, newest first, with ids below `before`."""
        return await self.newest(OF_CUSTOMER, before=before, limit=limit, customer_id=customer_id)


class OrderUnitOfWork(UnitOfWork):
    def open_repositories(self) -> None:
        self.orders = self.tracked(PostgresOrders(self.connection))

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        return await idempotency.claim(self.connection, claims)

    async def release(self, claims: Sequence[Claim]) -> None:
        await idempotency.release(self.connection, claims)

    async def commit(self) -> None:
        await super().commit()
        for order in self.orders:
            if order.events:
                _REACHED[order.status].inc()
