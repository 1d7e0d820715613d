"""The unit of work with this service's repository and idempotency keys."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from chassis.ports.idempotency import Claim
from chassis.postgres import idempotency
from chassis.postgres.unit_of_work import UnitOfWork
from prometheus_client import Counter

from domain.order import Status
from infrastructure.orders import PostgresOrders

ORDERS_BY_STATUS = Counter("orders", "Orders by the status that they have reached", ("status",))
_REACHED = {status: ORDERS_BY_STATUS.labels(status) for status in Status}


class OrderUnitOfWork(UnitOfWork):
    orders: PostgresOrders

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
