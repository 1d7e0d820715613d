"""The payment's events, from which `make contracts` makes contracts/ and the table of docs/events.md."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

OrderId = Annotated[UUID, {"description": "The order.", "examples": ["0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001"]}]
CustomerId = Annotated[
    UUID, {"description": "Whose order it is.", "examples": ["5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11"]}
]
PaymentId = Annotated[
    UUID,
    {
        "description": "The payment, as GET /payments/{payment_id} knows it.",
        "examples": ["0198c5f0-7d31-7a4e-9c55-8e1b3f7a2d03"],
    },
]
Money = Annotated[Decimal, {"exclusiveMinimum": 0, "maximum": 9999999999.99, "examples": [45.48]}]
"""Exact to two decimals, so readers must parse it as a decimal, not as a double."""
Currency = Annotated[str, {"pattern": "^[A-Z]{3}$", "description": "ISO 4217.", "examples": ["USD"]}]
Reason = Annotated[str, {"pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "description": "A stable slug; more may come."}]


@dataclass(frozen=True, slots=True)
class PaymentProcessed:
    """The money was taken."""

    name: ClassVar[str] = "PaymentProcessed"

    order_id: OrderId
    customer_id: CustomerId
    payment_id: PaymentId
    amount: Money
    currency: Currency


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    """The money was not taken, and no further attempt is made."""

    name: ClassVar[str] = "PaymentFailed"

    order_id: OrderId
    customer_id: CustomerId
    payment_id: PaymentId
    reason: Annotated[Reason, {"examples": ["payment-declined", "payment-retries-exhausted"]}]


@dataclass(frozen=True, slots=True)
class PaymentRefunded:
    """A charge was given back, because its order is undone."""

    name: ClassVar[str] = "PaymentRefunded"

    order_id: OrderId
    customer_id: CustomerId
    payment_id: PaymentId
    amount: Money
    currency: Currency
    reason: Annotated[Reason, {"examples": ["cancelled-by-customer", "expired"]}]


PaymentEvent = PaymentProcessed | PaymentFailed | PaymentRefunded
