"""How the events are called on the wire, and under which routing keys they travel."""

from chassis.messaging.envelope import Wire

from application.messages import OrderCompleted, OrderCreated, OrderUndone
from domain.events import InventoryReleased, InventoryReserved, InventoryUnavailable

PUBLISHED: dict[type, str] = {
    InventoryReserved: "inventory.reserved",
    InventoryUnavailable: "inventory.unavailable",
    InventoryReleased: "inventory.released",
}
CONSUMED: dict[Wire, type] = {
    Wire("OrderCreated", "order.created"): OrderCreated,
    Wire("OrderCompleted", "order.completed"): OrderCompleted,
    Wire("OrderFailed", "order.failed"): OrderUndone,
    Wire("OrderCancelled", "order.cancelled"): OrderUndone,
}
