"""Enters orders that a database restored from a backup has forgotten, so that what was done for them is undone."""

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
    """As much of the order as the other services know, or the payment gateway."""

    order_id: UUID
    customer_id: UUID
    items: tuple[Line, ...]
    """Empty where only a payment is left of it."""
    total_amount: Decimal
    currency: str
    expires_at: datetime
    traceparent: str


async def adopt_orders(commands: Sequence[AdoptOrder], unit: OrderUnit) -> None:
    """Those that exist stay as they are."""
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
