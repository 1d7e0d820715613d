"""How the events are called on the wire, and under which routing keys they travel."""

from chassis.messaging.envelope import Wire

from application.messages import (
    InventoryUnavailable,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderFailed,
    PaymentFailed,
    PaymentProcessed,
    PaymentRefunded,
)

PUBLISHED: dict[type, str] = {}
CONSUMED: dict[Wire, type] = {
    Wire("InventoryUnavailable", "inventory.unavailable"): InventoryUnavailable,
    Wire("OrderConfirmed", "order.confirmed"): OrderConfirmed,
    Wire("PaymentProcessed", "payment.processed"): PaymentProcessed,
    Wire("PaymentFailed", "payment.failed"): PaymentFailed,
    Wire("OrderCompleted", "order.completed"): OrderCompleted,
    Wire("OrderFailed", "order.failed"): OrderFailed,
    Wire("OrderCancelled", "order.cancelled"): OrderCancelled,
    Wire("PaymentRefunded", "payment.refunded"): PaymentRefunded,
}
