"""The ports of the use cases. The adapters are in infrastructure/."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from chassis.ports.unit_of_work import Claim, Repository, Unit

from domain.order import Order


class OrderRepository(Repository[Order], Protocol):
    async def get(self, keys: Sequence[UUID]) -> dict[UUID, Order]:
        """The orders that exist, by id, for reading only."""

    async def count_open(self, customer_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """How many orders of each customer are not final. Customers without one are left out."""

    async def locked_overdue(self, limit: int) -> Sequence[Order]:
        """Locks orders past their expires_at that are not final, the oldest first, except those locked already."""


class OrderUnit(Unit, Protocol):
    @property
    def orders(self) -> OrderRepository: ...

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        """Returns, by each claim's resource_id, the owner of its key: the claim itself, or an earlier one."""

    async def release(self, claims: Sequence[Claim]) -> None:
        """Gives up keys of which these claims have become the owners in this unit."""
