"""The whole service, as uvicorn runs it, between a real PostgreSQL and a real RabbitMQ."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.testing import eventually
from fastapi import FastAPI
from sqlalchemy import text

from application.messages import InventoryReserved
from infrastructure.simulated_gateway import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER
from tests.amqp import Wire, cloud_event
from tests.messages import AMOUNT, TRACEPARENT, reserved, undone
from tests.postgres import PostgresStore

SERVICE = "payment-service"


@pytest.fixture(scope="module")
async def app(database_url: str, rabbitmq_url: str) -> AsyncIterator[FastAPI]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", database_url)
        environment.setenv("RABBITMQ_URL", rabbitmq_url)
        environment.setenv("PAYMENT_SUCCESS_RATE", "1")
        environment.setenv("PAYMENT_RETRY_DELAYS_SECONDS", "0.1,0.2,0.3")
        app: FastAPI = importlib.import_module("main").app
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="module")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://payments") as client:

        async def healthy() -> bool:
            return (await client.get("/health")).status_code == 200

        await eventually(healthy)
        yield client


@pytest.fixture
async def wire(client: httpx.AsyncClient, rabbitmq_url: str) -> AsyncIterator[Wire]:
    async with Wire(rabbitmq_url, "payment.*") as wire:
        yield wire


def held(order: InventoryReserved, *, event_id: UUID | None = None) -> dict[str, Any]:
    data = asdict(order) | {"total_amount": float(order.total_amount)}
    return cloud_event("InventoryReserved", data, event_id=event_id)


def cancelled(order: InventoryReserved) -> dict[str, Any]:
    return cloud_event("OrderCancelled", asdict(undone(order)))


async def everything_before_is_done(wire: Wire) -> None:
    """Sends one more order and waits for it: what was sent before it was taken before it."""
    order = reserved()
    await wire.send("inventory.reserved", held(order))
    await eventually(lambda: wire.types(order.order_id))


async def payment_of(client: httpx.AsyncClient, order: InventoryReserved) -> dict[str, Any]:
    payment: dict[str, Any] = (await client.get(f"/payments/order/{order.order_id}")).json()
    return payment


async def test_an_order_is_charged_then_refunded(client: httpx.AsyncClient, wire: Wire) -> None:
    order = reserved()
    await wire.send("inventory.reserved", held(order))
    await eventually(lambda: wire.of_order(order.order_id))
    [processed] = wire.of_order(order.order_id)
    assert (processed["type"], processed["source"], processed["traceparent"]) == (
        *("PaymentProcessed", SERVICE, TRACEPARENT),
    )
    payment = await payment_of(client, order)
    assert (payment["status"], payment["amount"], payment["attempts"]) == ("completed", float(AMOUNT), 1)
    assert processed["data"]["payment_id"] == payment["id"]
    assert (await client.get(f"/payments/{payment['id']}")).json() == payment

    await wire.send("order.cancelled", cancelled(order))
    await eventually(lambda: wire.types(order.order_id) == ["PaymentProcessed", "PaymentRefunded"])
    assert wire.of_order(order.order_id)[1]["data"]["reason"] == "cancelled-by-customer"
    assert (await payment_of(client, order))["status"] == "refunded"


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
    client: httpx.AsyncClient, wire: Wire, customer_id: UUID, event: str, attempts: int, reason: str | None
) -> None:
    order = reserved(customer_id=customer_id)
    await wire.send("inventory.reserved", held(order))
    await eventually(lambda: wire.types(order.order_id) == [event])
    payment = await payment_of(client, order)
    assert (payment["attempts"], payment["reason"]) == (attempts, reason)


async def test_what_comes_twice_or_in_another_order_takes_effect_once(client: httpx.AsyncClient, wire: Wire) -> None:
    twice, undone_first, undone_in_batch = reserved(), reserved(), reserved()
    event = held(twice)
    await wire.send("order.cancelled", cancelled(undone_first))
    await wire.send("inventory.reserved", event, held(undone_first), event, held(twice, event_id=uuid4()))
    for _ in range(3):
        await wire.send("inventory.reserved", event)
    await wire.send("order.cancelled", cancelled(undone_in_batch), held(undone_in_batch))
    await everything_before_is_done(wire)
    assert set(wire.types(twice.order_id)) == {"PaymentProcessed"}
    assert [event.get("repeat") for event in wire.of_order(twice.order_id)].count(None) == 1
    assert wire.types(undone_first.order_id) == wire.types(undone_in_batch.order_id) == []
    assert (await payment_of(client, twice))["attempts"] == 1
    assert (await payment_of(client, undone_first))["type"] == "/problems/payment-not-found"


def poison() -> dict[str, Any]:
    good = held(reserved())
    return {
        "not-json": b"{",
        "not-cloudevents": good | {"specversion": "0.3"},
        "unknown-type": good | {"type": "InventoryReversed"},
        "invalid-data": good | {"data": good["data"] | {"total_amount": "-1"}},
    }


@pytest.mark.parametrize("reason", poison())
async def test_what_cannot_be_taken_goes_to_the_dead_letters_and_harms_nothing_else(wire: Wire, reason: str) -> None:
    order, bad = reserved(), poison()[reason]
    if isinstance(bad, bytes):
        await wire.send_raw("inventory.reserved", bad, "application/cloudevents+json")
        await wire.send("inventory.reserved", held(order))
    else:
        await wire.send("inventory.reserved", bad, held(order))
    await eventually(lambda: wire.types(order.order_id) == ["PaymentProcessed"])
    letters = []

    async def dead_letter_came() -> bool:
        letters.append(await wire.take_dead_letter(SERVICE))
        return letters[-1] is not None

    await eventually(dead_letter_came)
    headers = letters[-1].headers  # type: ignore[union-attr]
    assert (headers["x-reason"], headers["x-service"]) == (reason, SERVICE)
    assert headers["x-routing-key"] == "inventory.reserved"
    assert await wire.take_dead_letter(SERVICE) is None


async def test_an_attempt_that_a_killed_process_left_is_made_again_by_the_one_that_runs(
    client: httpx.AsyncClient, wire: Wire, database_url: str
) -> None:
    """The row is as a process leaves it that is killed between its attempt and the answer, thirty seconds later."""
    order, payment_id = reserved(), uuid4()
    left_behind = text(
        """
        INSERT INTO payments (id, order_id, customer_id, amount, currency, status, attempts, outcome_unknown, lease,
                              due_at, expires_at, traceparent)
        VALUES (:id, :order_id, :customer_id, :amount, 'USD', 'processing', 1, true, gen_random_uuid(),
                now(), now() + interval '15 minutes', :traceparent)
        """
    )
    async with PostgresStore(database_url) as store, store.transaction() as unit:
        await unit.connection.execute(
            left_behind,
            {
                "id": payment_id,
                "order_id": order.order_id,
                "customer_id": order.customer_id,
                "amount": AMOUNT,
                "traceparent": TRACEPARENT,
            },
        )
    await eventually(lambda: wire.types(order.order_id) == ["PaymentProcessed"])
    payment = await payment_of(client, order)
    assert (payment["id"], payment["status"], payment["attempts"]) == (str(payment_id), "completed", 2)


@pytest.fixture
def seldom_due(client: httpx.AsyncClient) -> Iterator[None]:
    """The job that looks for what is due does so hourly, unless it is woken."""
    due = importlib.import_module("main").due
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(due, "every_seconds", 3600.0)
        due.wake()  # the wait under way is a short one
        yield
    due.wake()


@pytest.mark.usefixtures("seldom_due")
async def test_what_found_no_room_is_charged_as_soon_as_there_is_some(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.charge_due.MAX_ATTEMPTS_IN_FLIGHT", 2)
    orders = [reserved() for _ in range(9)]
    await wire.send("inventory.reserved", *map(held, orders))
    await eventually(lambda: all(wire.types(order.order_id) == ["PaymentProcessed"] for order in orders))


async def test_what_was_published_leaves_the_outbox(wire: Wire, database_url: str) -> None:
    await everything_before_is_done(wire)
    async with PostgresStore(database_url) as store:

        async def empty() -> bool:
            return not await store.execute("SELECT 1 FROM outbox")

        await eventually(empty)


async def test_the_service_tells_how_it_is(client: httpx.AsyncClient) -> None:
    health = (await client.get("/health")).json()
    assert (health["status"], health["service"]) == ("ok", SERVICE)
    assert health["checks"].keys() == {"database", "broker", "consumer", "outbox", "jobs"}
    assert [(await client.get(f"/health/{kind}")).status_code for kind in ("live", "ready")] == [200, 200]
    running = {task.get_name() for task in asyncio.all_tasks()}
    prunings = {"pruning by chassis.inbox", "pruning by infrastructure.payments"}
    assert {"due payments", "outbox sweep", *prunings} <= running
    assert "payment_attempts_total" in (await client.get("/metrics")).text


async def test_errors_of_the_domain_have_their_status(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/payments/{uuid4()}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/payment-not-found")
