"""Enters orders that a restore from a backup lost, so that the other services undo their part."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from application.ports import OrderUnit
from domain.events import Line
from domain.order import Order


@dataclass(frozen=True, slots=True)
class AdoptOrder:
    """The part of an order that the other services, or the payment gateway, know."""

    order_id: UUID
    customer_id: UUID
    items: tuple[Line, ...]
    """Empty if only the order's payment is known."""
    total_amount: Decimal
    currency: str
    expires_at: datetime
    traceparent: str


async def adopt_orders(commands: Sequence[AdoptOrder], unit: OrderUnit) -> None:
    """Leaves orders that exist as they are."""
    known = await unit.orders.locked([command.order_id for command in commands])
    for command in commands:
        if command.order_id not in known:
            adopted = Order.adopt(
                command.order_id,
                command.customer_id,
                command.items,
                total_amount=command.total_amount,
                currency=command.currency,
                expires_at=command.expires_at,
                traceparent=command.traceparent,
                now=unit.now,
            )
            unit.orders.add(adopted)
