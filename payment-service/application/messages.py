"""The events that this service reads, with the fields that it uses."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from chassis.ports.events import Instant, Slug
from pydantic import Field


@dataclass(frozen=True, slots=True)
class InventoryReserved:
    order_id: UUID
    customer_id: UUID
    total_amount: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class OrderUndone:
    """OrderFailed or OrderCancelled, which mean the same here."""

    order_id: UUID
    customer_id: UUID
    reason: Slug
    expires_at: Instant


CONSUMED: dict[str, type] = {
    "InventoryReserved": InventoryReserved,
    "OrderFailed": OrderUndone,
    "OrderCancelled": OrderUndone,
}
"""By the name of the event, which need not be the class's."""
