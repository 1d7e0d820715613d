"""Holds stock for new orders, and sells or releases it when the order service has decided.

All of a batch is one read: the holds are locked first, then the items, each in the order of their keys, and holds that
are new are added before anything is saved, so that two replicas never wait for each other in a circle.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.ports.errors import Rejected
from chassis.ports.events import Received
from chassis.ports.tracing import new_traceparent
from chassis.ports.unit_of_work import announce

from application.messages import OrderCompleted, OrderCreated, OrderUndone
from application.ports import InventoryUnit
from domain.events import Line
from domain.hold import Demand, Hold, Status
from domain.item import Item


async def hold_stock(events: Sequence[Received], unit: InventoryUnit) -> None:
    """Raises Rejected for the completion of an order that nothing was ever held for."""
    holds = await unit.holds.locked([event.data.order_id for event in events])
    new: dict[UUID, Hold] = {}
    for event in events:
        if event.data.order_id not in holds and not isinstance(event.data, OrderCompleted):
            new.setdefault(event.data.order_id, _new_hold(event, unit.now))
    holds |= new
    products = {
        line.product_id for event in events if isinstance(event.data, OrderCreated) for line in event.data.items
    }
    for hold in holds.values():
        if hold.status is Status.HELD and hold.demand is not None:
            products |= hold.demand.quantities().keys()
    items = await unit.items.locked(list(products))

    changed: dict[Hold, None] = {}
    for event in events:
        found = holds.get(event.data.order_id)
        if found is None or (found.status is Status.NEW and isinstance(event.data, OrderCompleted)):
            raise Rejected("unknown-order", f"{event.type} about order {event.data.order_id}, which was never held")
        if _follow(found, event, items, unit.now):
            changed[found] = None
        elif not _answer(found, event):
            unit.unchanged(event)
    await unit.holds.add([hold for hold in changed if hold.order_id in new])
    await unit.holds.save([hold for hold in changed if hold.order_id not in new])
    await unit.items.save([item for item in items.values() if item.updated_at == unit.now])
    for hold in holds.values():
        announce(hold, unit)


def _new_hold(event: Received, now: datetime) -> Hold:
    data: Any = event.data
    return Hold.new(data.order_id, data.customer_id, data.expires_at, event.traceparent or new_traceparent(), now)


def _follow(hold: Hold, event: Received, items: dict[UUID, Item], now: datetime) -> bool:
    """Does what the event asks for; False if it came twice or late, and asks for nothing any more."""
    match event.data:
        case OrderCreated() as created if hold.status is Status.NEW:
            lines = tuple(Line(line.product_id, line.quantity, line.price) for line in created.items)
            hold.place(Demand(lines, created.total_amount, created.currency), items, now)
        case OrderCompleted() if hold.status is Status.HELD:
            hold.sell(items, now)
        case OrderUndone(reason=reason) if hold.status is Status.HELD:
            hold.release(reason, items, now)
        case OrderUndone() if hold.status is Status.NEW:
            hold.void(now)
        case _:
            return False
    return True


def _answer(hold: Hold, event: Received) -> bool:
    """Says again what was done when the event came first: its sender has not heard of it. False if there is nothing to
    be said."""
    match event.data, hold.status:
        case (OrderCreated(), Status.HELD | Status.REFUSED) | (OrderUndone(), Status.RELEASED):
            return hold.repeat()
    return False
