"""What the use cases need of the world: repositories in a unit of work. Adapters are in infrastructure/."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from chassis.ports.unit_of_work import Unit

from domain.hold import Hold
from domain.item import Item


class HoldRepository(Protocol):
    async def locked(self, order_ids: Sequence[UUID]) -> dict[UUID, Hold]:
        """Those of the orders' holds that exist, locked in the order of those ids until the unit ends."""

    async def add(self, holds: Sequence[Hold]) -> None:
        """Adds holds that `locked` did not find, before anything is saved: whoever has saved waits for nobody any more.
        Raises Conflict if another unit has added one since: the unit is then run again, and finds it."""

    async def locked_to_remind(self, limit: int) -> list[Hold]:
        """Holds whose `remind_at` has come, the oldest first, locked; without those that another transaction has."""

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
