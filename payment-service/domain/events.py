"""What happened to a payment. The fields of an event are its `data` on the wire: see contracts/."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PaymentProcessed:
    name: ClassVar[str] = "PaymentProcessed"

    order_id: UUID
    customer_id: UUID
    payment_id: UUID
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    name: ClassVar[str] = "PaymentFailed"

    order_id: UUID
    customer_id: UUID
    payment_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentRefunded:
    name: ClassVar[str] = "PaymentRefunded"

    order_id: UUID
    customer_id: UUID
    payment_id: UUID
    amount: Decimal
    currency: str
    reason: str


PaymentEvent = PaymentProcessed | PaymentFailed | PaymentRefunded
