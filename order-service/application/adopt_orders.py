"""Enters orders that a restore from a backup lost, so that the other services undo their part."""

from collections.abc import Sequence

from application.ports import OrderUnit
from domain.order import LostOrder, Order


async def adopt_orders(lost_orders: Sequence[LostOrder], unit: OrderUnit) -> None:
    """Leaves orders that exist as they are."""
    known = await unit.orders.locked([lost.order_id for lost in lost_orders])
    for lost in lost_orders:
        if lost.order_id not in known:
            unit.orders.add(Order.adopt(lost, unit.now))
