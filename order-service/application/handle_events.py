"""The arbiter of the saga: decides each order from the facts that the other services report."""

from collections.abc import Sequence
from datetime import datetime

from chassis.ports.errors import Rejected
from chassis.ports.events import Received

from application.messages import (
    InventoryReleased,
    InventoryReserved,
    InventoryUnavailable,
    PaymentFailed,
    PaymentProcessed,
    PaymentRefunded,
)
from application.ports import OrderUnit
from domain.order import Order, Status


async def handle_events(events: Sequence[Received], unit: OrderUnit) -> None:
    """Raises Rejected for a fact about an order that doesn't exist, and for a payment of another amount."""
    orders = await unit.orders.locked([event.data.order_id for event in events])
    for event in events:
        order = orders.get(event.data.order_id)
        if order is None:
            raise Rejected("unknown-order", f"{event.type} about order {event.data.order_id}, which is not ours")
        _expect_the_orders_amount(order, event.data)
        if not (_apply(order, event.data, unit.now) or (_contradicts(order, event.data) and order.repeat_decision())):
            unit.unchanged(event)


def _expect_the_orders_amount(order: Order, fact: object) -> None:
    """Raises Rejected. Whoever charges knows the amount from the order, so a wrong one is no mistake."""
    match fact:
        case PaymentProcessed(amount=amount, currency=currency):
            paid, due = (amount, currency), (order.total_amount, order.currency)
            if paid != due:
                raise Rejected("forged", f"{amount} {currency} were paid for order {order.id}, not {due[0]} {due[1]}")


def _apply(order: Order, fact: object, now: datetime) -> bool:
    """Applies the fact. False if it came twice, late or too early and so changes nothing."""
    match fact:
        case InventoryReserved() if order.status is Status.PENDING:
            order.confirm(now)
        case InventoryUnavailable(reason=reason) if order.status is Status.PENDING:
            order.refuse(reason, now)
        case PaymentProcessed() if not order.is_final:
            order.complete(now)
        case PaymentFailed(reason=reason) if not order.is_final:
            order.fail(reason, now)
        case InventoryReleased(reason=reason):
            return order.record_compensation("InventoryReleased", reason, now)
        case PaymentRefunded(reason=reason):
            return order.record_compensation("PaymentRefunded", reason, now)
        case _:
            return False
    return True


def _contradicts(order: Order, fact: object) -> bool:
    """Whether the fact shows that its sender doesn't know how the order ended."""
    match fact:
        case InventoryReserved():
            return order.is_final
        case PaymentProcessed():
            return order.is_undone
    return False
