"""The events that this service reads, with the fields that it uses."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from chassis.ports.events import Slug
from pydantic import Field


@dataclass(frozen=True, slots=True)
class OrderConfirmed:
    order_id: UUID
    customer_id: UUID


@dataclass(frozen=True, slots=True)
class OrderCompleted:
    order_id: UUID
    customer_id: UUID


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    order_id: UUID
    customer_id: UUID


@dataclass(frozen=True, slots=True)
class OrderFailed:
    order_id: UUID
    customer_id: UUID
    reason: Slug


@dataclass(frozen=True, slots=True)
class InventoryUnavailable:
    order_id: UUID
    customer_id: UUID
    reason: Slug


@dataclass(frozen=True, slots=True)
class PaymentProcessed:
    order_id: UUID
    customer_id: UUID
    amount: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    order_id: UUID
    customer_id: UUID
    reason: Slug


@dataclass(frozen=True, slots=True)
class PaymentRefunded:
    order_id: UUID
    customer_id: UUID
    amount: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]


CONSUMED: dict[str, type] = {
    "InventoryUnavailable": InventoryUnavailable,
    "OrderConfirmed": OrderConfirmed,
    "OrderCompleted": OrderCompleted,
    "OrderFailed": OrderFailed,
    "OrderCancelled": OrderCancelled,
    "PaymentProcessed": PaymentProcessed,
    "PaymentFailed": PaymentFailed,
    "PaymentRefunded": PaymentRefunded,
}
"""By the name of the event, which need not be the class's."""
