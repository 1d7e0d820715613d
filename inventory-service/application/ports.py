"""The ports of the use cases. The adapters are in infrastructure/."""

from typing import Protocol

from chassis.ports.unit_of_work import Repository, Unit

from domain.item import Item
from domain.reservation import Reservation


class InventoryUnit(Unit, Protocol):
    @property
    def reservations(self) -> Repository[Reservation]:
        """By order id."""

    @property
    def items(self) -> Repository[Item]:
        """By product id."""
