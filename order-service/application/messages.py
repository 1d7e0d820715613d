"""The facts that this service reads, each with the fields that it uses."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from chassis.ports.events import Slug


@dataclass(frozen=True, slots=True)
class Fact:
    order_id: UUID


@dataclass(frozen=True, slots=True)
class FactWithReason(Fact):
    reason: Slug


@dataclass(frozen=True, slots=True)
class FactWithAmount(Fact):
    amount: Decimal
    currency: str


CONSUMED: dict[str, type] = {
    "InventoryReserved": Fact,
    "InventoryUnavailable": FactWithReason,
    "InventoryReleased": FactWithReason,
    "PaymentProcessed": FactWithAmount,
    "PaymentFailed": FactWithReason,
    "PaymentRefunded": FactWithReason,
}
"""The class for the data of each event, by the event's name."""
