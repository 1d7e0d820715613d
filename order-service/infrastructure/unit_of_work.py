"""The unit of work with this service's repository, in PostgreSQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from uuid import UUID

from chassis.ports.ids import first_id
from chassis.postgres.repository import Mapped, PostgresRepository
from chassis.postgres.unit_of_work import UnitOfWork
from prometheus_client import Counter, Histogram
from sqlalchemy import Executable, bindparam

from domain.order import FINAL, Order, Status
from infrastructure.tables import orders

ORDERS = Mapped(orders, Order, key="id")
OVERDUE = ORDERS.lock_due(orders.c.due_at)
_NARROWED_BY = {
    "customer_id": (orders.c.customer_id == bindparam("customer_id"),),
    "since": (orders.c.id >= bindparam("first_id"), orders.c.created_at >= bindparam("since")),
    "status": (orders.c.status == bindparam("status"),),
}
# What such orders have, as their indexes say it. Most orders are completed, so those need none.
_OPEN, _UNDONE = orders.c.due_at.is_not(None), orders.c.reason.is_not(None)
_HAVE = {Status.PENDING: _OPEN, Status.CONFIRMED: _OPEN, Status.FAILED: _UNDONE, Status.CANCELLED: _UNDONE}
OPEN_OF_CUSTOMERS = ORDERS.count(orders.c.customer_id, orders.c.due_at)

ORDERS_BY_STATUS = Counter("orders", "Orders by the status that they have reached", ("status",))
ORDER_AMOUNTS = Counter(
    "order_amounts", "Totals of the orders that have reached a status, in the currency", ("status",)
)
DECIDED_SECONDS = Histogram(
    "order_decided_seconds",
    "Time from an order's placing to its final status",
    ("status",),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900),
)
_REACHED = {status: (ORDERS_BY_STATUS.labels(status), ORDER_AMOUNTS.labels(status)) for status in Status}
_DECIDED = {status: DECIDED_SECONDS.labels(status) for status in FINAL}


@cache
def listing(*narrowed_by: str, status: Status | None) -> Executable:
    conditions = [condition for name in narrowed_by for condition in _NARROWED_BY[name]]
    return ORDERS.page(orders.c.id, *conditions, *([_HAVE[status]] if status in _HAVE else []))


class PostgresOrders(PostgresRepository[Order]):
    mapped = ORDERS

    async def count_open(self, customer_ids: Collection[UUID]) -> dict[UUID, int]:
        return await self.counts(OPEN_OF_CUSTOMERS, customer_ids)

    async def locked_overdue(self, limit: int) -> Sequence[Order]:
        return await self.locked_by(OVERDUE, most=limit)

    async def listed(
        self,
        *,
        customer_id: UUID | None = None,
        status: Status | None = None,
        since: datetime | None = None,
        before: UUID | None,
        limit: int,
    ) -> Sequence[Order]:
        """The orders of the customer, in the status, created since then; newest first, with ids below `before`."""
        asked = {"customer_id": customer_id, "since": since, "status": status}
        given = {name: value for name, value in asked.items() if value is not None}
        statement = listing(*given, status=status)
        if since is not None:
            given["first_id"] = first_id(since)
        return await self.newest(statement, before=before, limit=limit, **given)


class OrderUnitOfWork(UnitOfWork):
    def open_repositories(self) -> None:
        self.orders = self.tracked(PostgresOrders(self.connection))

    async def commit(self) -> None:
        await super().commit()
        for order in self.orders:
            if order.events:
                count, amount = _REACHED[order.status]
                count.inc()
                amount.inc(float(order.total_amount))
                if order.is_final:
                    _DECIDED[order.status].observe((order.updated_at - order.created_at).total_seconds())
