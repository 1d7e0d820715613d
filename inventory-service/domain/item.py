"""An item of stock: how much of a product can be ordered, how much is reserved for open orders, and the price."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
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
    price: Decimal | None = None
    """Of one piece. None sells at whatever price the order names, if that price can be trusted."""
    priced_at: datetime | None = None
    """When the price last changed: any later reservation was held at this price."""

    @classmethod
    def new(cls, item_id: UUID, product_id: UUID, now: datetime) -> Self:
        return cls(item_id, product_id, 0, 0, now, now)

    def set_available(self, quantity: int, now: datetime) -> None:
        """Leaves the reserved quantity as it is."""
        self.quantity_available = quantity
        self._touch(now)

    def set_price(self, price: Decimal | None, now: datetime) -> None:
        if price != self.price:
            self._touch(now)
            self.price, self.priced_at = price, self.updated_at

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
        self._touch(now)

    def _touch(self, now: datetime) -> None:
        # A transaction begins before it gets the lock, so the previous one may have begun later.
        self.updated_at = max(now, self.updated_at)
