"""The order's events, from which `make contracts` makes contracts/ and the table of docs/events.md."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

OrderId = Annotated[UUID, {"description": "The order.", "examples": ["0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001"]}]
CustomerId = Annotated[
    UUID, {"description": "Whose order it is.", "examples": ["5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11"]}
]
Money = Annotated[Decimal, {"exclusiveMinimum": 0, "maximum": 9999999999.99, "examples": [45.48]}]
"""Exact to two decimals, so readers must parse it as a decimal, not as a double."""
Currency = Annotated[str, {"pattern": "^[A-Z]{3}$", "description": "ISO 4217.", "examples": ["USD"]}]
Reason = Annotated[str, {"pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "description": "A stable slug; more may come."}]
Deadline = Annotated[
    datetime,
    {
        "description": "When the order fails unless it is decided before. A week later everybody may forget it.",
        "examples": ["2026-11-24T12:15:00.123456Z"],
    },
]


@dataclass(frozen=True, slots=True)
class Line:
    product_id: UUID
    quantity: Annotated[int, {"minimum": 1, "maximum": 10_000}]
    price: Annotated[Decimal, {"exclusiveMinimum": 0, "maximum": 9999999999.99, "description": "Of one piece."}]


Lines = Annotated[
    tuple[Line, ...],
    {
        "minItems": 1,
        "maxItems": 100,
        "description": "The same product may be on several lines.",
        "examples": [
            [
                {"product_id": "9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01", "quantity": 2, "price": 19.99},
                {"product_id": "3b1e5a52-7c0d-4a0e-8f6d-2c9b7e4d1a02", "quantity": 1, "price": 5.5},
            ]
        ],
    },
]


@dataclass(frozen=True, slots=True)
class Shortage:
    product_id: UUID
    missing: Annotated[
        int,
        {
            "minimum": 1,
            "maximum": 1_000_000,
            "description": "How many pieces more the order asked for than there were.",
        },
    ]


Shortages = Annotated[
    tuple[Shortage, ...],
    {
        "maxItems": 100,
        "description": "If the reason is out-of-stock: each product that was short when inventory decided.",
        "examples": [[{"product_id": "9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01", "missing": 2}]],
    },
]


@dataclass(frozen=True, slots=True)
class OrderCreated:
    """An order was accepted."""

    name: ClassVar[str] = "OrderCreated"

    order_id: OrderId
    customer_id: CustomerId
    items: Lines
    total_amount: Money
    currency: Currency
    expires_at: Deadline
    price_trusted: Annotated[
        bool,
        {
            "description": "Whether a product without a price sells at the price of its line. Absent: true.",
            "examples": [True],
        },
    ] = True


@dataclass(frozen=True, slots=True)
class OrderConfirmed:
    """The order's stock is reserved."""

    name: ClassVar[str] = "OrderConfirmed"

    order_id: OrderId
    customer_id: CustomerId


@dataclass(frozen=True, slots=True)
class OrderCompleted:
    """The order is paid: the final decision."""

    name: ClassVar[str] = "OrderCompleted"

    order_id: OrderId
    customer_id: CustomerId
    total_amount: Money
    currency: Currency
    items: Lines = ()


@dataclass(frozen=True, slots=True)
class OrderFailed:
    """No stock, no payment, or no time left: the final decision."""

    name: ClassVar[str] = "OrderFailed"

    order_id: OrderId
    customer_id: CustomerId
    reason: Annotated[
        Reason,
        {
            "examples": [
                "out-of-stock",
                "unknown-product",
                "price-changed",
                "no-price",
                "payment-declined",
                "payment-retries-exhausted",
                "expired",
            ]
        },
    ]
    expires_at: Deadline
    shortages: Shortages = ()


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """The customer cancelled the order: the final decision."""

    name: ClassVar[str] = "OrderCancelled"

    order_id: OrderId
    customer_id: CustomerId
    reason: Annotated[Reason, {"examples": ["cancelled-by-customer", "cancelled-by-staff"]}]
    expires_at: Deadline


OrderEvent = OrderCreated | OrderConfirmed | OrderCompleted | OrderFailed | OrderCancelled
