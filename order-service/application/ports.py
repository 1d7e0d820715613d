"""The ports of the use cases. The adapters are in infrastructure/."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from chassis.ports.unit_of_work import KeyedUnit, Repository

from domain.order import Order


class OrderRepository(Repository[Order], Protocol):
    async def get(self, keys: Sequence[UUID]) -> dict[UUID, Order]:
        """The orders that exist, by id, for reading only."""

    async def count_open(self, customer_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """How many orders of each customer are not final. Customers without one are left out."""

    async def locked_overdue(self, limit: int) -> Sequence[Order]:
        """Locks orders past their expires_at that are not final, the oldest first, except those locked already."""


class OrderUnit(KeyedUnit, Protocol):
    @property
    def orders(self) -> OrderRepository: ...
