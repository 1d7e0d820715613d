"""The ports of the use cases. The adapters are in infrastructure/."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from chassis.ports.unit_of_work import KeyedUnit, Repository

from domain.item import Item, StockChange
from domain.reservation import Reservation


class StockChangeRepository(Repository[StockChange], Protocol):
    async def get(self, keys: Sequence[UUID]) -> dict[UUID, StockChange]:
        """The changes that exist, by id."""


class InventoryUnit(KeyedUnit, Protocol):
    @property
    def reservations(self) -> Repository[Reservation]:
        """By order id."""

    @property
    def items(self) -> Repository[Item]:
        """By product id."""

    @property
    def changes(self) -> StockChangeRepository: ...
