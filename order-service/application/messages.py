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


class InventoryReserved(Fact): ...


class InventoryUnavailable(FactWithReason): ...


class InventoryReleased(FactWithReason): ...


@dataclass(frozen=True, slots=True)
class PaymentProcessed(Fact):
    amount: Decimal
    currency: str


class PaymentFailed(FactWithReason): ...


class PaymentRefunded(FactWithReason): ...


CONSUMED: dict[str, type] = {
    "InventoryReserved": InventoryReserved,
    "InventoryUnavailable": InventoryUnavailable,
    "InventoryReleased": InventoryReleased,
    "PaymentProcessed": PaymentProcessed,
    "PaymentFailed": PaymentFailed,
    "PaymentRefunded": PaymentRefunded,
}
"""The class for the data of each event, by the event's name."""
