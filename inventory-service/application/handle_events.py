"""Reserves stock for new orders, and sells or releases it once the order service has decided.

Reservations are locked before items, and both in the order of their keys, so two replicas can't deadlock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from chassis.ports.errors import Rejected
from chassis.ports.events import Received

from application.messages import OrderCompleted, OrderCreated, OrderUndone
from application.ports import InventoryUnit
from domain.events import Line
from domain.item import Item
from domain.reservation import Reservation, Status


async def handle_events(events: Sequence[Received], unit: InventoryUnit) -> None:
    """Raises Rejected for the completion of an order for which nothing was ever reserved."""
    reservations = await unit.reservations.locked([event.data.order_id for event in events])
    for event in events:
        order_id = event.data.order_id
        if order_id not in reservations:
            if isinstance(event.data, OrderCompleted):
                raise Rejected("unknown-order", f"{event.type} about order {order_id}, for which nothing was reserved")
            new = Reservation.new(order_id, event.data.customer_id, event.data.expires_at, event.traceparent, unit.now)
            reservations[order_id] = unit.reservations.add(new)
    items = await unit.items.locked([product for event in events for product in _products(event, reservations)])
    for event in events:
        reservation = reservations[event.data.order_id]
        if not (_follow(reservation, event.data, items, unit.now) or _answer(reservation, event.data)):
            unit.unchanged(event)


def _products(event: Received, reservations: Mapping[UUID, Reservation]) -> Sequence[UUID]:
    """The products whose stock the event may change."""
    lines = event.data.items if isinstance(event.data, OrderCreated) else reservations[event.data.order_id].items
    return [line.product_id for line in lines or ()]


def _follow(reservation: Reservation, data: object, items: Mapping[UUID, Item], now: datetime) -> bool:
    """Does what the event asks for. False if the event came twice or late, so that nothing is left to do."""
    match data:
        case OrderCreated() if reservation.status is Status.NEW:
            lines = tuple(Line(line.product_id, line.quantity, line.price) for line in data.items)
            reservation.reserve(lines, data.total_amount, data.currency, items, now, price_trusted=data.price_trusted)
        case OrderCompleted() if reservation.status is Status.HELD:
            reservation.sell(items, now)
        case OrderUndone() if reservation.status is Status.HELD:
            reservation.release(data.reason, items, now)
        case OrderUndone() if reservation.status is Status.NEW:
            reservation.void(now)
        case _:
            return False
    return True


def _answer(reservation: Reservation, data: object) -> bool:
    """Repeats the event's outcome, which its sender seems not to know. False if there is none to repeat."""
    match data, reservation.status:
        case (OrderCreated(), Status.HELD | Status.REFUSED) | (OrderUndone(), Status.RELEASED):
            return reservation.repeat()
    return False
