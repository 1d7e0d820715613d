"""What the other services report about an order."""

from collections.abc import Callable
from uuid import UUID

from application.messages import (
    InventoryReleased,
    InventoryReserved,
    InventoryUnavailable,
    PaymentFailed,
    PaymentProcessed,
    PaymentRefunded,
)

Fact = Callable[[UUID], object]


def reserved(order_id: UUID) -> object:
    return InventoryReserved(order_id)


def unavailable(order_id: UUID) -> object:
    return InventoryUnavailable(order_id, "out-of-stock")


def released(order_id: UUID) -> object:
    return InventoryReleased(order_id, "cancelled-by-customer")


def paid(order_id: UUID) -> object:
    return PaymentProcessed(order_id)


def payment_failed(order_id: UUID) -> object:
    return PaymentFailed(order_id, "payment-declined")


def refunded(order_id: UUID) -> object:
    return PaymentRefunded(order_id, "cancelled-by-customer")


FACTS: list[Fact] = [reserved, unavailable, released, paid, payment_failed, refunded]
