"""Fails orders whose deadline has passed, the only deadline in the system."""

from application.ports import OrderUnit

MAX_ORDERS_A_BATCH = 200


async def expire_orders(unit: OrderUnit) -> bool:
    """Expires a batch of overdue orders; True if there may be more."""
    orders = await unit.orders.locked_overdue(MAX_ORDERS_A_BATCH)
    for order in orders:
        order.expire(unit.now)
    return len(orders) == MAX_ORDERS_A_BATCH
