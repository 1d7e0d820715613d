"""The deadline of every order."""

from datetime import timedelta

import pytest

from application import expire_orders as module
from application.expire_orders import expire_orders
from domain.events import OrderFailed
from domain.order import Status
from tests.builders import NOON, TRACEPARENT, an_order, order_in
from tests.fakes import MemoryOrderUnit

DEADLINE = NOON + timedelta(minutes=15)


@pytest.mark.parametrize("status", [Status.PENDING, Status.CONFIRMED])
async def test_an_open_order_fails_at_its_deadline_and_not_before(unit: MemoryOrderUnit, status: Status) -> None:
    order = order_in(status)
    await unit.orders.add([order])

    unit.now = DEADLINE - timedelta(microseconds=1)
    await expire_orders(unit)
    assert (await unit.orders.get([order.id]))[order.id].status is status
    assert unit.events == []

    unit.now = DEADLINE
    await expire_orders(unit)
    failed = (await unit.orders.get([order.id]))[order.id]
    assert (failed.status, failed.reason, failed.updated_at) == (Status.FAILED, "expired", DEADLINE)
    [told] = unit.published
    assert told.event == OrderFailed(order.id, order.customer_id, "expired", order.expires_at)
    assert (told.repeat, told.traceparent) == (False, TRACEPARENT)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
async def test_a_final_order_has_no_deadline(unit: MemoryOrderUnit, status: Status) -> None:
    order = order_in(status)
    await unit.orders.add([order])
    unit.now = DEADLINE + timedelta(days=1)

    await expire_orders(unit)

    assert (await unit.orders.get([order.id]))[order.id].status is status
    assert unit.events == []


async def test_overdue_orders_fail_a_batch_at_a_time(unit: MemoryOrderUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ORDERS_A_BATCH", 2)
    await unit.orders.add([an_order() for _ in range(3)])
    unit.now = DEADLINE

    assert await expire_orders(unit), "there may be more"
    assert len(unit.events) == 2
    assert not await expire_orders(unit)
    assert len(unit.events) == 3
