"""The deadline of every order."""

from datetime import timedelta

import pytest

from application import expire_orders as module
from application.expire_orders import expire_orders
from domain.events import OrderFailed
from domain.order import Status
from infrastructure.unit_of_work import ORDERS
from tests.builders import NOON, TRACEPARENT, an_order, order_in
from tests.running import OrderUnits

DEADLINE = NOON + timedelta(minutes=15)


@pytest.mark.parametrize("status", [Status.PENDING, Status.CONFIRMED])
async def test_an_open_order_fails_at_its_deadline_and_not_before(units: OrderUnits, status: Status) -> None:
    order = order_in(status)
    await units.put(ORDERS, order)

    units.now = DEADLINE - timedelta(microseconds=1)
    await units.run(expire_orders)
    assert units.kept(ORDERS)[order.id].status is status
    assert units.events == []

    units.now = DEADLINE
    await units.run(expire_orders)
    failed = units.kept(ORDERS)[order.id]
    assert (failed.status, failed.reason, failed.updated_at) == (Status.FAILED, "expired", DEADLINE)
    [told] = units.published
    assert told.event == OrderFailed(order.id, order.customer_id, "expired", order.expires_at)
    assert (told.repeat, told.traceparent) == (False, TRACEPARENT)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
async def test_a_final_order_has_no_deadline(units: OrderUnits, status: Status) -> None:
    order = order_in(status)
    await units.put(ORDERS, order)
    units.now = DEADLINE + timedelta(days=1)

    await units.run(expire_orders)

    assert units.kept(ORDERS)[order.id].status is status
    assert units.events == []


async def test_overdue_orders_fail_a_batch_at_a_time(units: OrderUnits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ORDERS_A_BATCH", 2)
    await units.put(ORDERS, *(an_order() for _ in range(3)))
    units.now = DEADLINE

    assert await units.run(expire_orders), "there may be more"
    assert len(units.events) == 2
    assert not await units.run(expire_orders)
    assert len(units.events) == 3
