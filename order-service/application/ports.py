"""What the use cases need of the world: a repository in a unit of work. Adapters are in infrastructure/."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from chassis.ports.idempotency import Claim
from chassis.ports.unit_of_work import Repository, Unit

from domain.order import Order


class OrderRepository(Repository[Order], Protocol):
    async def get(self, keys: Sequence[UUID]) -> dict[UUID, Order]:
        """Those of the orders that exist, to be read only."""

    async def locked_overdue(self, limit: int) -> Sequence[Order]:
        """Orders that are not final past their expires_at, the oldest first, locked; without those that another
        transaction has locked."""


class OrderUnit(Unit, Protocol):
    @property
    def orders(self) -> OrderRepository: ...

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        """By each claim's resource_id, who owns its idempotency key: the claim itself, or an earlier one."""
