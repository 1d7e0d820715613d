"""An item of stock: how much of a product can be ordered, how much is reserved for open orders, and the price."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self
from uuid import UUID

from domain.errors import StockOutOfBounds

MAX_AVAILABLE = 1_000_000_000
"""The most that people may make of it; what orders give back may exceed it."""
CHANGE_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class StockChange:
    """The difference that was added to what can be ordered, and what that came to."""

    id: UUID
    product_id: UUID
    difference: int
    quantity_available: int
    created_at: datetime

    @property
    def due_at(self) -> datetime:
        """When it may be deleted: long after its idempotency key, whose repetitions it answers."""
        return self.created_at + CHANGE_KEPT


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
    revision: int = 0
    """How often people have set or changed the stock. Orders don't count. 0 for an item that is being created."""

    @classmethod
    def new(cls, item_id: UUID, product_id: UUID, now: datetime) -> Self:
        return cls(item_id, product_id, 0, 0, now, now)

    def set_available(self, quantity: int, now: datetime) -> None:
        """Leaves the reserved quantity as it is."""
        self.quantity_available = quantity
        self._revise(now)

    def change_available(self, change_id: UUID, difference: int, now: datetime) -> StockChange:
        """Leaves the reserved quantity as it is. Raises StockOutOfBounds if less than nothing would be left, or if the
        difference would lead beyond MAX_AVAILABLE."""
        quantity = self.quantity_available + difference
        if quantity < 0:
            raise StockOutOfBounds(f"Only {self.quantity_available} can be ordered: {-difference} can't be taken away.")
        if quantity > MAX_AVAILABLE and difference > 0:
            raise StockOutOfBounds(f"{self.quantity_available} can be ordered, and {MAX_AVAILABLE} may be at most.")
        self.set_available(quantity, now)
        return StockChange(change_id, self.product_id, difference, quantity, self.updated_at)

    def set_price(self, price: Decimal | None, now: datetime) -> None:
        if price != self.price:
            self._revise(now)
            self.price, self.priced_at = price, self.updated_at

    def missing(self, quantity: int) -> int:
        """How many pieces there are too few for that quantity."""
        return max(quantity - self.quantity_available, 0)

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

    def _revise(self, now: datetime) -> None:
        self.revision += 1
        self._touch(now)

    def _touch(self, now: datetime) -> None:
        # A transaction begins before it gets the lock, so the previous one may have begun later.
        self.updated_at = max(now, self.updated_at)
