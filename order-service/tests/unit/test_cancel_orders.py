"""Cancelling orders for their customers."""

from datetime import timedelta
from uuid import uuid4

import pytest

from application.cancel_orders import CancelOrder, cancel_orders
from domain.errors import IllegalTransition, OrderNotFound
from domain.events import OrderCancelled
from domain.order import Order, Status
from infrastructure.unit_of_work import ORDERS
from tests.builders import NOON, TRACEPARENT, order_in
from tests.running import OrderUnits


@pytest.mark.parametrize("status", [Status.PENDING, Status.CONFIRMED])
async def test_an_open_order_is_cancelled_and_the_decision_told(units: OrderUnits, status: Status) -> None:
    order = order_in(status)
    await units.put(ORDERS, order)
    units.now += timedelta(minutes=1)

    [cancelled] = await units.run(cancel_orders, [CancelOrder(order.id)])

    assert isinstance(cancelled, Order)
    assert (cancelled.status, cancelled.reason) == (Status.CANCELLED, "cancelled-by-customer")
    assert units.kept(ORDERS)[order.id].timeline == cancelled.timeline
    [told] = units.published
    assert told.event == OrderCancelled(order.id, order.customer_id, "cancelled-by-customer", order.expires_at)
    assert (told.repeat, told.time, told.traceparent) == (False, NOON + timedelta(minutes=1), TRACEPARENT)


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
async def test_a_second_cancel_gets_the_same_answer_and_tells_nothing(units: OrderUnits, together: bool) -> None:
    order = order_in(Status.CONFIRMED)
    await units.put(ORDERS, order)
    if together:
        first, second = await units.run(cancel_orders, [CancelOrder(order.id), CancelOrder(order.id)])
    else:
        [first] = await units.run(cancel_orders, [CancelOrder(order.id)])
        units.now += timedelta(minutes=1)
        [second] = await units.run(cancel_orders, [CancelOrder(order.id)])

    assert isinstance(first, Order)
    assert isinstance(second, Order)
    assert (first.status, first.updated_at, first.timeline) == (second.status, second.updated_at, second.timeline)
    assert len(units.events) == 1


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
async def test_a_final_order_is_not_cancelled(units: OrderUnits, status: Status) -> None:
    order = order_in(status)
    await units.put(ORDERS, order)

    [refusal] = await units.run(cancel_orders, [CancelOrder(order.id)])

    assert isinstance(refusal, IllegalTransition)
    assert units.kept(ORDERS)[order.id].status is status
    assert units.events == []


async def test_a_refused_cancel_harms_no_other(units: OrderUnits) -> None:
    final, open_order = order_in(Status.COMPLETED), order_in(Status.PENDING)
    await units.put(ORDERS, final, open_order)

    unknown, refused, cancelled = await units.run(
        cancel_orders, [CancelOrder(uuid4()), CancelOrder(final.id), CancelOrder(open_order.id)]
    )

    assert isinstance(unknown, OrderNotFound)
    assert isinstance(refused, IllegalTransition)
    assert isinstance(cancelled, Order)
    assert [event.order_id for event in units.events] == [open_order.id]
