"""How the events are called on the wire, and under which routing keys they travel."""

from chassis.messaging.envelope import Wire

from application.messages import InventoryReserved, OrderUndone
from domain.events import PaymentFailed, PaymentProcessed, PaymentRefunded

PUBLISHED: dict[type, str] = {
    PaymentProcessed: "payment.processed",
    PaymentFailed: "payment.failed",
    PaymentRefunded: "payment.refunded",
}
CONSUMED: dict[Wire, type] = {
    Wire("InventoryReserved", "inventory.reserved"): InventoryReserved,
    Wire("OrderFailed", "order.failed"): OrderUndone,
    Wire("OrderCancelled", "order.cancelled"): OrderUndone,
}
