"""What happened to stock. The fields of an event are its `data` on the wire: see contracts/."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Line:
    product_id: UUID
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class InventoryReserved:
    name: ClassVar[str] = "InventoryReserved"

    order_id: UUID
    customer_id: UUID
    items: tuple[Line, ...]
    total_amount: Decimal
    currency: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InventoryUnavailable:
    name: ClassVar[str] = "InventoryUnavailable"

    order_id: UUID
    customer_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class InventoryReleased:
    name: ClassVar[str] = "InventoryReleased"

    order_id: UUID
    customer_id: UUID
    reason: str


InventoryEvent = InventoryReserved | InventoryUnavailable | InventoryReleased
