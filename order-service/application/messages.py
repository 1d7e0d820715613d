"""The facts that this service reads, each with the fields that it uses."""

from dataclasses import dataclass
from uuid import UUID

from chassis.ports.events import Slug


@dataclass(frozen=True, slots=True)
class InventoryReserved:
    order_id: UUID


@dataclass(frozen=True, slots=True)
class InventoryUnavailable:
    order_id: UUID
    reason: Slug


@dataclass(frozen=True, slots=True)
class InventoryReleased:
    order_id: UUID
    reason: Slug


@dataclass(frozen=True, slots=True)
class PaymentProcessed:
    order_id: UUID


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    order_id: UUID
    reason: Slug


@dataclass(frozen=True, slots=True)
class PaymentRefunded:
    order_id: UUID
    reason: Slug


CONSUMED: dict[str, type] = {
    "InventoryReserved": InventoryReserved,
    "InventoryUnavailable": InventoryUnavailable,
    "InventoryReleased": InventoryReleased,
    "PaymentProcessed": PaymentProcessed,
    "PaymentFailed": PaymentFailed,
    "PaymentRefunded": PaymentRefunded,
}
"""By the event's name, which may differ from the class's."""
