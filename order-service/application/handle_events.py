"""The arbiter of the saga: decides each order from the facts that the other services report."""

from collections.abc import Sequence
from datetime import datetime

from chassis.ports.errors import Rejected
from chassis.ports.events import Received

from application.messages import FactWithAmount
from application.ports import OrderUnit
from domain.events import Shortage
from domain.order import Order, Status


async def handle_events(events: Sequence[Received], unit: OrderUnit) -> None:
    """Raises Rejected for a fact about an order that doesn't exist, and for a payment of another amount."""
    orders = await unit.orders.locked([event.data.order_id for event in events])
    for event in events:
        order = orders.get(event.data.order_id)
        if order is None:
            raise Rejected("unknown-order", f"{event.type} about order {event.data.order_id}, which is not ours")
        _expect_the_orders_amount(order, event.data)
        if not (_apply(order, event, unit.now) or (_contradicts(order, event.type) and order.repeat_decision())):
            unit.unchanged(event)


def _expect_the_orders_amount(order: Order, fact: object) -> None:
    """Raises Rejected. Whoever charges knows the amount from the order, so a wrong one is no mistake."""
    due = (order.total_amount, order.currency)
    if isinstance(fact, FactWithAmount) and (fact.amount, fact.currency) != due:
        raise Rejected("forged", f"{fact.amount} {fact.currency} were paid for order {order.id}, not {due[0]} {due[1]}")


def _apply(order: Order, event: Received, now: datetime) -> bool:
    """Applies the fact. False if it came twice, late or too early and so changes nothing."""
    match event.type:
        case "InventoryReserved" if order.status is Status.PENDING:
            order.confirm(now)
        case "InventoryUnavailable" if order.status is Status.PENDING:
            shortages = tuple(Shortage(short.product_id, short.missing) for short in event.data.shortages)
            order.refuse(event.data.reason, now, shortages)
        case "PaymentProcessed" if not order.is_final:
            order.complete(now)
        case "PaymentFailed" if not order.is_final:
            order.fail(event.data.reason, now)
        case "InventoryReleased" | "PaymentRefunded":
            return order.record_compensation(event.type, event.data.reason, now)
        case _:
            return False
    return True


def _contradicts(order: Order, fact: str) -> bool:
    """Whether the fact shows that its sender doesn't know how the order ended."""
    return (fact == "InventoryReserved" and order.is_final) or (fact == "PaymentProcessed" and order.is_undone)
