"""The events that this service reads, with the fields that it uses."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from chassis.ports.events import Instant, Slug
from pydantic import Field

Money = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


@dataclass(frozen=True, slots=True)
class OrderedLine:
    product_id: UUID
    quantity: Annotated[int, Field(ge=1, le=10_000)]
    price: Money


@dataclass(frozen=True, slots=True)
class OrderCreated:
    order_id: UUID
    customer_id: UUID
    items: Annotated[tuple[OrderedLine, ...], Field(min_length=1, max_length=100)]
    total_amount: Money
    currency: Currency
    expires_at: Instant
    price_trusted: bool = True
    """Events of before decision 25 lack it."""


@dataclass(frozen=True, slots=True)
class OrderCompleted:
    order_id: UUID


@dataclass(frozen=True, slots=True)
class OrderUndone:
    """OrderFailed or OrderCancelled: this service treats both alike."""

    order_id: UUID
    customer_id: UUID
    reason: Slug
    expires_at: Instant


CONSUMED: dict[str, type] = {
    "OrderCreated": OrderCreated,
    "OrderCompleted": OrderCompleted,
    "OrderFailed": OrderUndone,
    "OrderCancelled": OrderUndone,
}
"""The class for the data of each event, by the event's name."""
