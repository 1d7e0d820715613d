"""What the tests send to the service, and how they look at what came of it."""

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

from application.messages import OrderCompleted, OrderCreated, OrderedLine, OrderUndone

CUSTOMER = UUID("5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11")
PRICE = Decimal("19.99")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

T = TypeVar("T")


def order_created(
    *lines: tuple[UUID, int],
    order_id: UUID | None = None,
    expires_at: datetime | None = None,
    price: Decimal = PRICE,
    price_trusted: bool = True,
) -> OrderCreated:
    return OrderCreated(
        order_id=order_id or uuid4(),
        customer_id=CUSTOMER,
        items=tuple(OrderedLine(product_id, quantity, price) for product_id, quantity in lines),
        total_amount=price * sum(quantity for _, quantity in lines),
        currency="USD",
        expires_at=expires_at or datetime.now(UTC) + timedelta(minutes=15),
        price_trusted=price_trusted,
    )


def completed(order: OrderCreated) -> OrderCompleted:
    return OrderCompleted(order.order_id)


def undone(order: OrderCreated, reason: str = "cancelled-by-customer") -> OrderUndone:
    return OrderUndone(order.order_id, order.customer_id, reason, order.expires_at)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs what never has to wait, without an event loop, which is quicker: for machines that take many steps."""
    try:
        while work.send(None) is None:  # it yields None where it only lets others go first
            pass
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("waits for a lock that another unit has")
