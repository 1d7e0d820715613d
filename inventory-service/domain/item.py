"""An item of stock: the quantity of a product that can be ordered, and the quantity reserved for open orders."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID


@dataclass(slots=True, eq=False)
class Item:
    id: UUID
    product_id: UUID
    quantity_available: int
    reserved_quantity: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def new(cls, item_id: UUID, product_id: UUID, now: datetime) -> Self:
        return cls(item_id, product_id, 0, 0, now, now)

    def set_available(self, quantity: int, now: datetime) -> None:
        """Leaves the reserved quantity as it is."""
        self.quantity_available = quantity
        self.updated_at = now

    def has(self, quantity: int) -> bool:
        return self.quantity_available >= quantity

    def reserve(self, quantity: int, now: datetime) -> None:
        self._move(-quantity, quantity, now)

    def sell(self, quantity: int, now: datetime) -> None:
        self._move(0, -quantity, now)

    def release(self, quantity: int, now: datetime) -> None:
        self._move(quantity, -quantity, now)

    def _move(self, available: int, reserved: int, now: datetime) -> None:
        if self.quantity_available + available < 0 or self.reserved_quantity + reserved < 0:
            raise ValueError(f"Product {self.product_id} can't have a negative quantity.")
        self.quantity_available += available
        self.reserved_quantity += reserved
        self.updated_at = now
