"""What can happen to an order. An event's fields are its `data` on the wire: see contracts/."""

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
class OrderCreated:
    name: ClassVar[str] = "OrderCreated"

    order_id: UUID
    customer_id: UUID
    items: tuple[Line, ...]
    total_amount: Decimal
    currency: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class OrderConfirmed:
    name: ClassVar[str] = "OrderConfirmed"

    order_id: UUID
    customer_id: UUID


@dataclass(frozen=True, slots=True)
class OrderCompleted:
    name: ClassVar[str] = "OrderCompleted"

    order_id: UUID
    customer_id: UUID
    total_amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class OrderFailed:
    name: ClassVar[str] = "OrderFailed"

    order_id: UUID
    customer_id: UUID
    reason: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    name: ClassVar[str] = "OrderCancelled"

    order_id: UUID
    customer_id: UUID
    reason: str
    expires_at: datetime


OrderEvent = OrderCreated | OrderConfirmed | OrderCompleted | OrderFailed | OrderCancelled
