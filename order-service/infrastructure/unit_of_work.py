"""The unit of work of this service: the chassis's, with the repository and the idempotency keys."""

from collections.abc import Mapping, Sequence
from typing import Self

from chassis import idempotency
from chassis.idempotency import Claim
from chassis.unit_of_work import UnitOfWork

from infrastructure.orders import PostgresOrders


class OrdersUnitOfWork(UnitOfWork):
    orders: PostgresOrders

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.orders = PostgresOrders(self.connection)
        return self

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, Claim]:
        return await idempotency.claim(self.connection, claims)
