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
class InventoryReserved:
    order_id: UUID
    customer_id: UUID
    total_amount: Money
    currency: Currency
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class OrderUndone:
    """OrderFailed or OrderCancelled: this service treats both alike."""

    order_id: UUID
    customer_id: UUID
    reason: Slug
    expires_at: Instant


CONSUMED: dict[str, type] = {
    "InventoryReserved": InventoryReserved,
    "OrderFailed": OrderUndone,
    "OrderCancelled": OrderUndone,
}
"""The class for the data of each event, by the event's name."""
