"""The ports of the use cases. The adapters are in infrastructure/."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from chassis.ports.unit_of_work import Claim, Repository, Unit

from domain.item import Item, StockChange
from domain.reservation import Reservation


class StockChangeRepository(Repository[StockChange], Protocol):
    async def get(self, keys: Sequence[UUID]) -> dict[UUID, StockChange]:
        """The changes that exist, by id."""


class InventoryUnit(Unit, Protocol):
    @property
    def reservations(self) -> Repository[Reservation]:
        """By order id."""

    @property
    def items(self) -> Repository[Item]:
        """By product id."""

    @property
    def changes(self) -> StockChangeRepository: ...

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        """Returns, by each claim's resource_id, the owner of its key: the claim itself, or an earlier one."""

    async def release(self, claims: Sequence[Claim]) -> None:
        """Gives up keys of which these claims have become the owners in this unit."""
