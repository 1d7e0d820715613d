"""How the events are called on the wire, and under which routing keys they travel."""

from chassis.events import Wire

from application.messages import (
    InventoryReleased,
    InventoryReserved,
    InventoryUnavailable,
    PaymentFailed,
    PaymentProcessed,
    PaymentRefunded,
)
from domain.events import OrderCancelled, OrderCompleted, OrderConfirmed, OrderCreated, OrderFailed

PUBLISHED: dict[type, str] = {
    OrderCreated: "order.created",
    OrderConfirmed: "order.confirmed",
    OrderCompleted: "order.completed",
    OrderFailed: "order.failed",
    OrderCancelled: "order.cancelled",
}
CONSUMED: dict[Wire, type] = {
    Wire("InventoryReserved", "inventory.reserved"): InventoryReserved,
    Wire("InventoryUnavailable", "inventory.unavailable"): InventoryUnavailable,
    Wire("InventoryReleased", "inventory.released"): InventoryReleased,
    Wire("PaymentProcessed", "payment.processed"): PaymentProcessed,
    Wire("PaymentFailed", "payment.failed"): PaymentFailed,
    Wire("PaymentRefunded", "payment.refunded"): PaymentRefunded,
}
