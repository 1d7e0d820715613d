"""Tells the world what happened to an order."""

from application.ports import OrderUnit
from domain.events import Decision
from domain.order import Order


def announce(order: Order, unit: OrderUnit) -> None:
    """Publishes the order's events. The decision bears the order's own id: an order is decided once, so it is the same
    event however often it is said, and whoever has taken it in does nothing."""
    if order.events:
        unit.count(order)
    for event in order.events:
        if isinstance(event, Decision):
            unit.publish(event, order.traceparent, event_id=order.id, time=order.decision()[1])
        else:
            unit.publish(event, order.traceparent)
    order.events.clear()


def announce_decision_again(order: Order, unit: OrderUnit) -> None:
    """For a service that seems to have lost it."""
    decision, decided_at = order.decision()
    unit.publish(decision, order.traceparent, event_id=order.id, time=decided_at)
