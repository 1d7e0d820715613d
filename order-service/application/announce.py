"""Tells the world what happened to an order."""

from chassis import unit_of_work

from application.ports import OrderUnit
from domain.order import Order


def announce(order: Order, unit: OrderUnit) -> None:
    """Publishes the order's events, and counts the order under the status that they tell of."""
    if order.events:
        unit.count(order)
    unit_of_work.announce(order, unit)
