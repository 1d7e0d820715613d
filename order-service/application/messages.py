"""The facts that this service reads, each with the fields that it uses."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from chassis.ports.events import Slug
from pydantic import Field


@dataclass(frozen=True, slots=True)
class Fact:
    order_id: UUID


@dataclass(frozen=True, slots=True)
class FactWithReason(Fact):
    reason: Slug


@dataclass(frozen=True, slots=True)
class Missing:
    product_id: UUID
    missing: Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class Refusal(FactWithReason):
    shortages: Annotated[tuple[Missing, ...], Field(max_length=100)] = ()
    """Events of before 2026-11-28 lack it."""


@dataclass(frozen=True, slots=True)
class FactWithAmount(Fact):
    amount: Decimal
    currency: str


CONSUMED: dict[str, type] = {
    "InventoryReserved": Fact,
    "InventoryUnavailable": Refusal,
    "InventoryReleased": FactWithReason,
    "PaymentProcessed": FactWithAmount,
    "PaymentFailed": FactWithReason,
    "PaymentRefunded": FactWithReason,
}
"""The class for the data of each event, by the event's name."""
