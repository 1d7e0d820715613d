"""Cancels orders for their customers. The other services undo their part on OrderCancelled."""

from collections.abc import Sequence
from uuid import UUID

from application.ports import OrderUnit
from domain.errors import OrderError, OrderNotFound
from domain.order import Order


async def cancel_orders(ids: Sequence[UUID], unit: OrderUnit) -> list[Order | Exception]:
    """For each id the cancelled order, or the OrderError that refuses it."""
    orders = await unit.orders.locked(ids)
    results: list[Order | Exception] = []
    for order_id in ids:
        try:
            if order_id not in orders:
                raise OrderNotFound("There is no such order.")
            orders[order_id].cancel(unit.now)
            results.append(orders[order_id])
        except OrderError as error:
            results.append(error)
    return results
