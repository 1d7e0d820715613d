"""Orders that a restored database has forgotten: entered as failed, so that the others undo what they did for them."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from chassis.ports.ids import uuid7

from application.adopt_orders import adopt_orders
from domain.events import Line, OrderFailed
from domain.order import LostOrder, Status
from infrastructure.unit_of_work import ORDERS
from tests.builders import NOON, TRACEPARENT, line, order_in
from tests.running import OrderUnits

DEADLINE = NOON + timedelta(minutes=15)


def forgotten(*items: Line) -> LostOrder:
    return LostOrder(uuid7(), uuid4(), items, Decimal("39.98"), "USD", DEADLINE, TRACEPARENT)


@pytest.mark.parametrize("items", [(line(),), ()], ids=["known by its hold", "known by its payment alone"])
async def test_a_forgotten_order_is_entered_as_failed_and_said_so(units: OrderUnits, items: tuple[Line, ...]) -> None:
    command = forgotten(*items)

    await units.run(adopt_orders, [command])

    order = units.kept(ORDERS)[command.order_id]
    assert (order.status, order.reason, order.items) == (Status.FAILED, "lost-in-restore", items)
    assert (order.customer_id, order.total_amount, order.currency) == (command.customer_id, Decimal("39.98"), "USD")
    assert (order.expires_at, order.created_at, order.traceparent) == (DEADLINE, units.now, TRACEPARENT)
    assert [(entry.event, entry.status, entry.reason) for entry in order.timeline] == [
        ("OrderCreated", "pending", None),
        ("OrderFailed", "failed", "lost-in-restore"),
    ]
    [told] = units.published
    assert told.event == OrderFailed(order.id, order.customer_id, "lost-in-restore", DEADLINE)
    assert (told.repeat, told.traceparent) == (False, TRACEPARENT)


@pytest.mark.parametrize("status", Status)
async def test_an_order_that_is_known_stays_as_it_is(units: OrderUnits, status: Status) -> None:
    order = order_in(status)
    await units.put(ORDERS, order)

    again = LostOrder(order.id, order.customer_id, order.items, order.total_amount, "USD", DEADLINE, TRACEPARENT)
    await units.run(adopt_orders, [again])

    assert units.kept(ORDERS)[order.id].status is status
    assert units.published == []


async def test_adopting_twice_is_adopting_once(units: OrderUnits) -> None:
    command = forgotten(line())
    await units.run(adopt_orders, [command])
    await units.run(adopt_orders, [command])
    assert len(units.published) == 1
