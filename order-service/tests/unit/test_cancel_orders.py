"""Cancelling orders for their customers."""

from datetime import timedelta
from uuid import uuid4

import pytest

from application.cancel_orders import cancel_orders
from domain.errors import IllegalTransition, OrderNotFound
from domain.events import OrderCancelled
from domain.order import Order, Status
from tests.builders import NOON, TRACEPARENT, order_in
from tests.fakes import MemoryOrderUnit


@pytest.mark.parametrize("status", [Status.PENDING, Status.CONFIRMED])
async def test_an_open_order_is_cancelled_and_the_decision_told(unit: MemoryOrderUnit, status: Status) -> None:
    order = order_in(status)
    await unit.orders.add([order])
    unit.now += timedelta(minutes=1)

    [cancelled] = await cancel_orders([order.id], unit)

    assert isinstance(cancelled, Order)
    assert (cancelled.status, cancelled.reason) == (Status.CANCELLED, "cancelled-by-customer")
    assert (await unit.orders.get([order.id]))[order.id].timeline == cancelled.timeline
    [told] = unit.published
    assert told.event == OrderCancelled(order.id, order.customer_id, "cancelled-by-customer", order.expires_at)
    assert (told.repeat, told.time, told.traceparent) == (False, NOON + timedelta(minutes=1), TRACEPARENT)


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
async def test_a_second_cancel_gets_the_same_answer_and_tells_nothing(unit: MemoryOrderUnit, together: bool) -> None:
    order = order_in(Status.CONFIRMED)
    await unit.orders.add([order])
    if together:
        first, second = await cancel_orders([order.id, order.id], unit)
    else:
        [first] = await cancel_orders([order.id], unit)
        unit.now += timedelta(minutes=1)
        [second] = await cancel_orders([order.id], unit)

    assert isinstance(first, Order)
    assert isinstance(second, Order)
    assert (first.status, first.updated_at, first.timeline) == (second.status, second.updated_at, second.timeline)
    assert len(unit.events) == 1


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
async def test_a_final_order_is_not_cancelled(unit: MemoryOrderUnit, status: Status) -> None:
    order = order_in(status)
    await unit.orders.add([order])

    [refusal] = await cancel_orders([order.id], unit)

    assert isinstance(refusal, IllegalTransition)
    assert (await unit.orders.get([order.id]))[order.id].status is status
    assert unit.events == []


async def test_a_refused_cancel_harms_no_other(unit: MemoryOrderUnit) -> None:
    final, open_order = order_in(Status.COMPLETED), order_in(Status.PENDING)
    await unit.orders.add([final, open_order])

    unknown, refused, cancelled = await cancel_orders([uuid4(), final.id, open_order.id], unit)

    assert isinstance(unknown, OrderNotFound)
    assert isinstance(refused, IllegalTransition)
    assert isinstance(cancelled, Order)
    assert [event.order_id for event in unit.events] == [open_order.id]
