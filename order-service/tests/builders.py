"""Orders for tests, in any state, and the times and traces that they bear."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from chassis.ports.ids import uuid7

from domain.events import Line, Shortage
from domain.order import Order, Status

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def line(price: str = "19.99", quantity: int = 2) -> Line:
    return Line(uuid4(), quantity, Decimal(price))


def an_order(
    *lines: Line,
    customer_id: UUID | None = None,
    now: datetime = NOON,
    expires_after: timedelta = timedelta(minutes=15),
    traceparent: str = TRACEPARENT,
    price_trusted: bool = True,
) -> Order:
    return Order.place(
        uuid7(),
        customer_id or uuid4(),
        lines or (line(),),
        currency="USD",
        expires_after=expires_after,
        traceparent=traceparent,
        now=now,
        price_trusted=price_trusted,
    )


Act = Callable[[Order, datetime], None]


def fail(order: Order, now: datetime) -> None:
    order.fail("payment-declined", now)


def refuse(order: Order, now: datetime) -> None:
    order.refuse("out-of-stock", now, (Shortage(order.items[0].product_id, 1),))


WAYS: Mapping[Status, Sequence[Act]] = {
    Status.PENDING: (),
    Status.CONFIRMED: (Order.confirm,),
    Status.COMPLETED: (Order.confirm, Order.complete),
    Status.FAILED: (fail,),
    Status.CANCELLED: (Order.cancel,),
}
"""How an order gets into each state."""


def bring(order: Order, status: Status) -> None:
    """Takes a new order to that state, an act a second, and forgets its events as loading it would."""
    for seconds, act in enumerate(WAYS[status], start=1):
        act(order, order.created_at + timedelta(seconds=seconds))
    order.events.clear()


def order_in(status: Status, *, now: datetime = NOON, customer_id: UUID | None = None) -> Order:
    order = an_order(now=now, customer_id=customer_id)
    bring(order, status)
    return order
