"""What the use cases need of the world: repositories in a unit of work. Adapters are in infrastructure/."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chassis.unit_of_work import Unit

from domain.hold import Hold
from domain.item import Item


@dataclass(frozen=True, slots=True)
class NewHold:
    order_id: UUID
    customer_id: UUID
    expires_at: datetime
    traceparent: str


class HoldRepository(Protocol):
    async def locked(self, ids: Sequence[UUID], absent: Sequence[NewHold]) -> dict[UUID, Hold]:
        """The holds of these orders, locked in the order of the ids until the unit ends.

        Those of `absent` that don't exist are made first, and are `new`: a row that isn't there can't be locked, and
        two replicas would each miss the other's.
        """

    async def locked_due(self, limit: int) -> list[Hold]:
        """Holds that are held past their due_at, locked; those that another transaction has are left out."""

    async def save(self, holds: Sequence[Hold]) -> None: ...


class ItemRepository(Protocol):
    async def locked(self, product_ids: Sequence[UUID]) -> dict[UUID, Item]:
        """Those of the items that exist, locked in the order of their product ids until the unit ends."""

    async def make(self, product_ids: Sequence[UUID]) -> set[UUID]:
        """Makes empty items for the products that have none; returns whose."""

    async def save(self, items: Sequence[Item]) -> None: ...


class InventoryUnit(Unit, Protocol):
    @property
    def holds(self) -> HoldRepository: ...

    @property
    def items(self) -> ItemRepository: ...
