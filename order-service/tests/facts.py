"""What the other services report about an order."""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

from application import messages
from domain.events import Shortage


class InventoryReserved(messages.Fact): ...


class InventoryUnavailable(messages.Refusal): ...


class InventoryReleased(messages.FactWithReason): ...


class PaymentProcessed(messages.FactWithAmount): ...


class PaymentFailed(messages.FactWithReason): ...


class PaymentRefunded(messages.FactWithReason): ...


Fact = Callable[[UUID], object]
MISSING = Shortage(UUID(int=1), 2)
"""What is missing for an order that is unavailable."""


def reserved(order_id: UUID) -> object:
    return InventoryReserved(order_id)


def unavailable(order_id: UUID) -> object:
    return InventoryUnavailable(order_id, "out-of-stock", (messages.Missing(MISSING.product_id, MISSING.missing),))


def released(order_id: UUID) -> object:
    return InventoryReleased(order_id, "cancelled-by-customer")


def paid(order_id: UUID, amount: str = "39.98", currency: str = "USD") -> object:
    """By default what `an_order` of one line costs."""
    return PaymentProcessed(order_id, Decimal(amount), currency)


def payment_failed(order_id: UUID) -> object:
    return PaymentFailed(order_id, "payment-declined")


def refunded(order_id: UUID) -> object:
    return PaymentRefunded(order_id, "cancelled-by-customer")


FACTS: list[Fact] = [reserved, unavailable, released, paid, payment_failed, refunded]
