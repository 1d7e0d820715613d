"""Cancels orders for their customers. The other services undo their part on OrderCancelled."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.ports.identity import UNCHECKED, Principal

from application.access import cancellable
from application.ports import OrderUnit
from domain.errors import OrderError
from domain.order import BY_CUSTOMER, BY_STAFF, Order


@dataclass(frozen=True, slots=True)
class CancelOrder:
    order_id: UUID
    caller: Principal = UNCHECKED


async def cancel_orders(commands: Sequence[CancelOrder], unit: OrderUnit) -> list[Order | Exception]:
    """For each command the cancelled order, or the OrderError that refuses it."""
    orders = await unit.orders.locked([command.order_id for command in commands])
    results: list[Order | Exception] = []
    for command in commands:
        try:
            order = cancellable(orders, command.order_id, command.caller)
            own = command.caller is UNCHECKED or command.caller.is_customer(order.customer_id)
            order.cancel(unit.now, reason=BY_CUSTOMER if own else BY_STAFF, by=command.caller.name)
            results.append(order)
        except OrderError as error:
            results.append(error)
    return results
