"""Payments while the circuit breaker is open: they wait in their rows, and hold nothing. Then the whole service in an
outage of its gateway."""

import asyncio
import re
from datetime import timedelta
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.postgres.database import Database
from chassis.testing import eventually
from chassis.testing.world import World
from sqlalchemy import text

from application.messages import InventoryReserved
from domain.attempt import Answer, Reply
from infrastructure import breaker
from infrastructure.breaker import State
from tests.contracts import fact
from tests.gateway import FakeGateway
from tests.integration.worker import Worker
from tests.messages import CUSTOMER, reserved, undone

LOCK_ALL = text("SELECT 1 FROM payments FOR UPDATE NOWAIT")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens at two failures, for half a second."""
    monkeypatch.setattr(breaker, "CALLS", 2)
    monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.5)


async def open_breaker(worker: Worker, *orders: InventoryReserved) -> None:
    """For as long as the test lasts."""
    await worker.take(*orders)
    await worker.calls.stop()
    assert worker.calls.breaker.state is State.OPEN
    worker.calls.breaker.clock = lambda: 0.0


async def rows(worker: Worker) -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in await worker.execute(
            "SELECT status, attempts, outcome_unknown, charge_number FROM payments ORDER BY created_at, id"
        )
    ]


async def test_payments_that_an_open_breaker_keeps_waiting_hold_no_transaction_no_lock_and_no_room(
    database: Database,
) -> None:
    gateway = FakeGateway(Answer.UNAVAILABLE)
    worker = Worker(database, gateway)
    await open_breaker(worker, reserved(), reserved())
    waiting = [reserved() for _ in range(250)]  # more than calls can be under way
    await worker.take(*waiting[:200])
    await worker.take(*waiting[200:])
    await worker.charge()
    assert len(gateway.asked) == 2
    assert (await rows(worker))[:2] == [("processing", 1, False, 1)] * 2
    assert (await rows(worker))[2:] == [("pending", 0, False, 1)] * 250
    assert await worker.execute("SELECT 1 FROM payments WHERE lease IS NOT NULL OR due_at IS NULL") == []
    assert (
        await worker.execute(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in tr%'"
        )
        == []
    )
    async with database.autocommit() as connection:
        await connection.execute(LOCK_ALL)


async def test_what_waits_can_be_cancelled_and_another_replica_takes_the_rest(database: Database) -> None:
    worker, other_gateway = Worker(database, FakeGateway(Answer.UNAVAILABLE)), FakeGateway()
    first, kept, cancelled = reserved(), reserved(), reserved()
    await open_breaker(worker, first, reserved())
    await worker.take(kept, cancelled)
    await worker.take(undone(cancelled), undone(first))
    await worker.execute("UPDATE payments SET due_at = now() WHERE due_at IS NOT NULL")
    other = Worker(database, other_gateway)
    await other.charge()
    await other.calls.stop()
    asked = {attempt.order_id for attempt in other_gateway.asked}
    assert kept.order_id in asked
    assert not asked & {first.order_id, cancelled.order_id}
    assert sorted(row[0] for row in await rows(worker)) == ["cancelled", "cancelled", "completed", "completed"]


async def test_replicas_that_probe_at_the_same_time_ask_for_each_payment_once(database: Database) -> None:
    gateway = FakeGateway(Answer.UNAVAILABLE)
    workers = [Worker(database, gateway) for _ in range(3)]
    for worker in workers:
        await worker.take(reserved(), reserved())
        await worker.calls.stop()
        assert worker.calls.breaker.state is State.OPEN
    await workers[0].take(*(reserved() for _ in range(60)))
    gateway.answers = [Answer.DONE]
    gateway.asked.clear()
    await workers[0].execute("UPDATE payments SET due_at = now()")

    async def all_charged() -> bool:
        await asyncio.gather(*(worker.charge() for worker in workers))
        await asyncio.gather(*(worker.calls.stop() for worker in workers))
        return {row[0] for row in await rows(workers[0])} == {"completed"}

    await eventually(all_charged)
    keys = [attempt.idempotency_key for attempt in gateway.asked]
    assert len(keys) == len(set(keys)) == 66


async def figure(service: httpx.AsyncClient, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", (await service.get("/metrics")).text, re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("answer", [Answer.UNAVAILABLE, Answer.UNKNOWN])
async def test_the_orders_of_an_outage_of_the_gateway_are_charged_once_it_is_over(
    main: ModuleType, service: httpx.AsyncClient, others: World, answer: Answer
) -> None:
    orders = [uuid4() for _ in range(30)]

    def events(some: list[UUID]) -> list[dict[str, Any]]:
        about = {"customer_id": str(CUSTOMER), "expires_at": "2100-01-01T00:00:00Z"}
        return [fact("InventoryReserved", order, **about) for order in some]

    async def state() -> float:
        return await figure(service, "payment_breaker_state")

    async def is_open() -> bool:
        return await state() == 2

    async def is_closed() -> bool:
        return await state() == 0

    async def is_away(_: object) -> Reply:
        return Reply(answer, timedelta(seconds=2))

    before = await figure(service, "payment_attempts_held_back_total")
    working = main.gateway.ask
    main.gateway.ask = is_away
    await others.report(*events(orders[:5]))
    await eventually(is_open)
    await others.report(*events(orders[5:]))

    async def all_wait() -> bool:
        answers = [await service.get(f"/payments/order/{order}") for order in orders]
        return {(one.status_code, one.json().get("status")) for one in answers} <= {
            (200, "pending"),
            (200, "processing"),
        }

    await eventually(all_wait)
    assert await figure(service, "payment_attempts_held_back_total") > before
    assert [others.names(order) for order in orders] == [[]] * 30
    main.gateway.ask = working
    await eventually(lambda: all(others.names(order) == ["PaymentProcessed"] for order in orders))
    await eventually(is_closed)
    assert (await service.get("/health")).json()["status"] == "ok"
