"""Takes in what the other services report and decides each order: the arbiter of the saga."""

from collections.abc import Sequence
from datetime import datetime

from chassis.consumer import Rejected
from chassis.events import Received

from application.announce import announce
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


async def settle_orders(events: Sequence[Received], unit: OrderUnit) -> None:
    """Raises Rejected for a fact about an order that isn't ours."""
    orders = await unit.orders.locked([event.data.order_id for event in events])
    changed: dict[Order, None] = {}
    for event in events:
        order = orders.get(event.data.order_id)
        if order is None:
            raise Rejected("unknown-order", f"{event.type} about order {event.data.order_id}, which is not ours")
        if _settle(order, event.data, unit.now):
            changed[order] = None
        elif not (_contradicts(order, event.data) and order.repeat_decision()):
            unit.unchanged(event)
    await unit.orders.save(list(changed))
    for order in orders.values():
        announce(order, unit)


def _settle(order: Order, fact: object, now: datetime) -> bool:
    """Applies the fact; False if it came twice, late or too early, and changes nothing."""
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
            return order.note("InventoryReleased", reason, now)
        case PaymentRefunded(reason=reason):
            return order.note("PaymentRefunded", reason, now)
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
