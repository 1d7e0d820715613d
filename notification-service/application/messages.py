"""The events that this service reads, with the fields that it uses."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from chassis.ports.events import Slug
from pydantic import Field

Money = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


@dataclass(frozen=True, slots=True)
class Event:
    order_id: UUID
    customer_id: UUID


@dataclass(frozen=True, slots=True)
class EventWithReason(Event):
    reason: Slug


@dataclass(frozen=True, slots=True)
class Missing:
    product_id: UUID
    missing: Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class EventWithShortages(EventWithReason):
    shortages: Annotated[tuple[Missing, ...], Field(max_length=100)] = ()
    """Events of before 2026-11-28 lack it."""


@dataclass(frozen=True, slots=True)
class EventWithAmount(Event):
    amount: Money
    currency: Currency


CONSUMED: dict[str, type] = {
    "InventoryUnavailable": EventWithShortages,
    "OrderConfirmed": Event,
    "OrderCompleted": Event,
    "OrderFailed": EventWithShortages,
    "OrderCancelled": Event,
    "PaymentProcessed": EventWithAmount,
    "PaymentFailed": EventWithReason,
    "PaymentRefunded": EventWithAmount,
}
"""The class for the data of each event, by the event's name."""
