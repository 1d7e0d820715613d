"""What the use cases need of the world: repositories in a unit of work. Adapters are in infrastructure/."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from chassis.idempotency import Claim
from chassis.unit_of_work import Unit

from domain.order import Order


class OrderRepository(Protocol):
    async def add(self, orders: Sequence[Order]) -> None: ...

    async def locked(self, ids: Sequence[UUID]) -> dict[UUID, Order]:
        """Those of the orders that exist, locked in the order of their ids until the unit ends."""

    async def locked_overdue(self, limit: int) -> list[Order]:
        """Orders that are not final past their expires_at, locked; without those that another transaction holds."""

    async def locked_to_remind(self, limit: int) -> list[Order]:
        """Orders whose `remind_at` has come, the oldest first, locked; without those that another transaction holds."""

    async def save(self, orders: Sequence[Order]) -> None: ...

    async def get(self, ids: Sequence[UUID]) -> dict[UUID, Order]: ...


class OrderUnit(Unit, Protocol):
    @property
    def orders(self) -> OrderRepository: ...

    def count(self, order: Order) -> None:
        """Counts the order under the status that it has reached, once the unit is committed."""

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        """By each claim's resource_id, who owns its idempotency key: the claim itself, or an earlier one."""
