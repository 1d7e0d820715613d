"""The unit of work of this service: the chassis's, with the repository and the idempotency keys."""

from collections.abc import Mapping, Sequence
from typing import Self
from uuid import UUID

from chassis import idempotency
from chassis.idempotency import Claim
from chassis.unit_of_work import UnitOfWork
from prometheus_client import Counter

from domain.order import Order, Status
from infrastructure.orders import PostgresOrders

ORDERS = Counter("orders", "Orders by the status that they have reached", ("status",))
_REACHED = {status: ORDERS.labels(status) for status in Status}


class OrdersUnitOfWork(UnitOfWork):
    orders: PostgresOrders

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.orders = PostgresOrders(self.connection)
        return self

    def count(self, order: Order) -> None:
        self.after_commit(_REACHED[order.status].inc)

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        return await idempotency.claim(self.connection, claims)
