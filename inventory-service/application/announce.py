"""Tells the world what happened to a hold."""

from application.ports import InventoryUnit
from domain.hold import Hold


def announce(hold: Hold, unit: InventoryUnit) -> None:
    """Publishes the hold's events."""
    for event in hold.events:
        unit.publish(event, hold.traceparent)
    hold.events.clear()
