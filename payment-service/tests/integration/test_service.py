"""The whole service, as uvicorn runs it, between a real PostgreSQL and a real RabbitMQ."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from chassis.postgres.database import Database
from chassis.testing import eventually
from chassis.testing.world import World
from sqlalchemy import text

from infrastructure import gateway_calls
from infrastructure.simulated_gateway import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER
from infrastructure.tables import SCHEMA
from tests.contracts import fact
from tests.messages import CUSTOMER, TRACEPARENT

SERVICE = "payment-service"
FOREVER = "2100-01-01T00:00:00Z"


def reserved(order_id: UUID, customer_id: UUID = CUSTOMER) -> dict[str, Any]:
    return fact("InventoryReserved", order_id, customer_id=str(customer_id), expires_at=FOREVER)


def cancelled(order_id: UUID) -> dict[str, Any]:
    return fact("OrderCancelled", order_id, expires_at=FOREVER)


async def everything_before_is_done(others: World) -> None:
    """Sends one more order and waits for it: what was sent before it was taken before it."""
    order = uuid4()
    await others.report(reserved(order))
    await eventually(lambda: others.names(order))


async def payment_of(service: httpx.AsyncClient, order_id: UUID) -> dict[str, Any]:
    payment: dict[str, Any] = (await service.get(f"/payments/order/{order_id}")).json()
    return payment


async def test_an_order_is_charged_then_refunded(service: httpx.AsyncClient, others: World) -> None:
    order = uuid4()
    event = reserved(order)
    await others.report(event)
    await eventually(lambda: others.names(order) == ["PaymentProcessed"])
    [processed] = others.events(order)
    assert (processed["specversion"], processed["source"], processed["traceparent"]) == (
        "1.0",
        SERVICE,
        event["traceparent"],
    )
    payment = await payment_of(service, order)
    assert (payment["status"], payment["attempts"]) == ("completed", 1)
    assert payment["amount"] == processed["data"]["amount"] == event["data"]["total_amount"]
    assert processed["data"]["payment_id"] == payment["id"]
    assert (await service.get(f"/payments/{payment['id']}")).json() == payment

    await others.report(cancelled(order))
    await eventually(lambda: others.names(order) == ["PaymentProcessed", "PaymentRefunded"])
    assert others.events(order)[1]["data"]["reason"] == "cancelled-by-customer"
    assert (await payment_of(service, order))["status"] == "refunded"


@pytest.mark.parametrize(
    ("customer_id", "event", "attempts", "reason"),
    [
        (DECLINED_CUSTOMER, "PaymentFailed", 1, "payment-declined"),
        (FAILING_CUSTOMER, "PaymentFailed", 4, "payment-retries-exhausted"),
        (FORGETFUL_CUSTOMER, "PaymentProcessed", 2, None),
    ],
    ids=["declined", "failing", "forgetful"],
)
async def test_the_customers_with_a_fate_meet_it(
    service: httpx.AsyncClient, others: World, customer_id: UUID, event: str, attempts: int, reason: str | None
) -> None:
    order = uuid4()
    await others.report(reserved(order, customer_id))
    await eventually(lambda: others.names(order) == [event])
    payment = await payment_of(service, order)
    assert (payment["attempts"], payment["reason"]) == (attempts, reason)


async def test_what_comes_twice_or_in_another_order_takes_effect_once(
    service: httpx.AsyncClient, others: World
) -> None:
    twice, undone_first, undone_in_batch = uuid4(), uuid4(), uuid4()
    event = reserved(twice)
    await others.report(cancelled(undone_first))
    await others.report(event, reserved(undone_first), event, reserved(twice))
    for _ in range(3):
        await others.report(event)
    await others.report(cancelled(undone_in_batch), reserved(undone_in_batch))
    await everything_before_is_done(others)
    assert set(others.names(twice)) == {"PaymentProcessed"}
    assert [event.get("repeat") for event in others.events(twice)].count(None) == 1
    assert others.names(undone_first) == others.names(undone_in_batch) == []
    assert (await payment_of(service, twice))["attempts"] == 1
    assert (await payment_of(service, undone_first))["type"] == "/problems/payment-not-found"


def poison() -> dict[str, bytes]:
    good = reserved(uuid4())
    documents = {
        "not-cloudevents": good | {"specversion": "0.3"},
        "unknown-type": good | {"type": "InventoryReversed"},
        "invalid-data": good | {"data": good["data"] | {"total_amount": "-1"}},
    }
    return {"not-json": b"{"} | {reason: orjson.dumps(document) for reason, document in documents.items()}


@pytest.mark.parametrize("reason", poison())
async def test_what_cannot_be_taken_goes_to_the_dead_letters_and_harms_nothing_else(others: World, reason: str) -> None:
    order, bad = uuid4(), poison()[reason]
    if reason == "not-json":
        await others.send("inventory.reserved", bad, "application/cloudevents+json")
        await others.report(reserved(order))
    else:
        batch = b"[" + bad + b"," + orjson.dumps(reserved(order)) + b"]"
        await others.send("inventory.reserved", batch, "application/cloudevents-batch+json")
    await eventually(lambda: others.names(order) == ["PaymentProcessed"])
    headers = (await others.dead_letter(bad)).headers
    assert (headers["x-reason"], headers["x-service"]) == (reason, SERVICE)
    assert headers["x-routing-key"] == "inventory.reserved"
    assert [letter.body for letter in others.dead_letters].count(bad) == 1


async def test_an_attempt_that_a_killed_process_left_is_made_again_by_the_one_that_runs(
    service: httpx.AsyncClient, others: World, payments_url: str
) -> None:
    """The row is as a process leaves it that is killed between its attempt and the answer, thirty seconds later."""
    order, payment_id = uuid4(), uuid4()
    left_behind = text(
        """
        INSERT INTO payments (id, order_id, customer_id, amount, currency, status, attempts, outcome_unknown, lease,
                              due_at, expires_at, traceparent)
        VALUES (:id, :order_id, :customer_id, :amount, 'USD', 'processing', 1, true, gen_random_uuid(),
                now(), now() + interval '15 minutes', :traceparent)
        """
    )
    ids = {"id": payment_id, "order_id": order, "customer_id": CUSTOMER}
    database = Database(lambda: payments_url, pool_size=2, service=SERVICE, schema=SCHEMA)
    async with database.autocommit() as connection:
        await connection.execute(left_behind, ids | {"amount": Decimal("39.98"), "traceparent": TRACEPARENT})
    await database.stop()
    await eventually(lambda: others.names(order) == ["PaymentProcessed"])
    payment = await payment_of(service, order)
    assert (payment["id"], payment["status"], payment["attempts"]) == (str(payment_id), "completed", 2)


async def test_what_found_no_room_is_charged_once_there_is_some(others: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_calls, "MAX_CALLS", 2)
    orders = [uuid4() for _ in range(9)]
    await others.report(*map(reserved, orders))
    await eventually(lambda: all(others.names(order) == ["PaymentProcessed"] for order in orders))


async def test_what_was_published_leaves_the_outbox(
    service: httpx.AsyncClient, others: World, payments_url: str
) -> None:
    await everything_before_is_done(others)
    database = Database(lambda: payments_url, pool_size=2, service=SERVICE, schema=SCHEMA)

    async def empty() -> bool:
        async with database.autocommit() as connection:
            return not (await connection.execute(text("SELECT 1 FROM outbox"))).all()

    await eventually(empty)
    await database.stop()


async def test_the_service_tells_how_it_is(service: httpx.AsyncClient) -> None:
    health = (await service.get("/health")).json()
    assert (health["status"], health["service"]) == ("ok", SERVICE)
    assert health["checks"].keys() == {"database", "broker", "consumer", "outbox", "jobs"}
    assert [(await service.get(f"/health/{kind}")).status_code for kind in ("live", "ready")] == [200, 200]
    running = {task.get_name() for task in asyncio.all_tasks()}
    assert {"due payments", "outbox sweep", "pruning of inbox", "pruning of tombstones"} <= running
    assert "payment_attempts_total" in (await service.get("/metrics")).text


async def test_errors_of_the_domain_have_their_status(service: httpx.AsyncClient) -> None:
    answer = await service.get(f"/payments/{uuid4()}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/payment-not-found")
