"""The whole service, as uvicorn runs it, between a real PostgreSQL and a real RabbitMQ."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.testing import eventually
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from application.messages import OrderCreated
from tests.amqp import Wire, cloud_event
from tests.messages import TRACEPARENT, completed, order_created, undone

SERVICE = "inventory-service"


@pytest.fixture(scope="module")
async def app(database_url: str, rabbitmq_url: str) -> AsyncIterator[FastAPI]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", database_url)
        environment.setenv("RABBITMQ_URL", rabbitmq_url)
        app: FastAPI = importlib.import_module("main").app
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="module")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as client:

        async def healthy() -> bool:
            return (await client.get("/health")).status_code == 200

        await eventually(healthy)
        yield client


@pytest.fixture
async def wire(client: httpx.AsyncClient, rabbitmq_url: str) -> AsyncIterator[Wire]:
    async with Wire(rabbitmq_url, "inventory.*") as wire:
        yield wire


@pytest.fixture
async def product_id(client: httpx.AsyncClient) -> UUID:
    """A product of the test's own, with ten pieces."""
    product_id = uuid4()
    answer = await client.put(f"/inventory/{product_id}", json={"quantity_available": 10})
    assert answer.status_code == 201
    return product_id


async def quantities(client: httpx.AsyncClient, product_id: UUID) -> tuple[int, int]:
    item = (await client.get(f"/inventory/{product_id}")).json()
    return item["quantity_available"], item["reserved_quantity"]


def created(order: OrderCreated, *, event_id: UUID | None = None) -> dict[str, object]:
    data = asdict(order)
    data["total_amount"] = float(order.total_amount)
    data["items"] = [{**line, "price": float(line["price"])} for line in data["items"]]
    return cloud_event("OrderCreated", data, event_id=event_id)


def cancelled(order: OrderCreated) -> dict[str, object]:
    return cloud_event("OrderCancelled", asdict(undone(order)))


async def everything_before_is_done(wire: Wire, product_id: UUID) -> None:
    """Sends one more order and waits for it: what was sent before it was taken before it."""
    order = order_created((product_id, 1))
    await wire.send("order.created", created(order))
    await eventually(lambda: wire.types(order.order_id))


async def test_an_order_is_held_then_sold(client: httpx.AsyncClient, wire: Wire, product_id: UUID) -> None:
    order = order_created((product_id, 3))
    await wire.send("order.created", created(order))
    await eventually(lambda: wire.of_order(order.order_id))
    [reserved] = wire.of_order(order.order_id)
    assert (reserved["type"], reserved["source"], reserved["traceparent"]) == (
        "InventoryReserved",
        SERVICE,
        TRACEPARENT,
    )
    assert reserved["data"]["total_amount"] == 59.97
    assert await quantities(client, product_id) == (7, 3)

    await wire.send("order.completed", cloud_event("OrderCompleted", asdict(completed(order))))

    async def sold() -> bool:
        return await quantities(client, product_id) == (7, 0)

    await eventually(sold)


async def test_a_reservation_that_nobody_decides_about_is_said_again_by_the_service_itself(
    client: httpx.AsyncClient, wire: Wire, product_id: UUID, database_url: str
) -> None:
    order = order_created((product_id, 3))
    await wire.send("order.created", created(order))
    await eventually(lambda: wire.types(order.order_id) == ["InventoryReserved"])
    engine = create_async_engine(database_url, connect_args={"server_settings": {"search_path": "inventory"}})
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE reservations SET remind_at = now() WHERE order_id = :id"), {"id": order.order_id}
        )
    await engine.dispose()
    await eventually(lambda: wire.types(order.order_id) == ["InventoryReserved", "InventoryReserved"])
    first, again = wire.of_order(order.order_id)
    assert (first.get("repeat"), again["repeat"], again["data"]) == (None, True, first["data"])


async def test_an_order_that_fails_gives_its_pieces_back(
    client: httpx.AsyncClient, wire: Wire, product_id: UUID
) -> None:
    order = order_created((product_id, 3))
    await wire.send("order.created", created(order))
    await wire.send("order.failed", cloud_event("OrderFailed", asdict(undone(order, "payment-declined"))))
    await eventually(lambda: wire.types(order.order_id) == ["InventoryReserved", "InventoryReleased"])
    assert wire.of_order(order.order_id)[1]["data"]["reason"] == "payment-declined"
    assert await quantities(client, product_id) == (10, 0)


async def test_what_comes_twice_or_in_another_order_takes_effect_once(
    client: httpx.AsyncClient, wire: Wire, product_id: UUID
) -> None:
    twice, undone_first = order_created((product_id, 1)), order_created((product_id, 1))
    event = created(twice)
    await wire.send("order.created", event, created(undone_first), event)
    await wire.send("order.cancelled", cancelled(undone_first))
    for _ in range(3):
        await wire.send("order.created", event)
    late = order_created((product_id, 1))
    await wire.send("order.cancelled", cancelled(late))
    await wire.send("order.created", created(late), created(twice, event_id=uuid4()))
    await everything_before_is_done(wire, product_id)
    assert wire.types(twice.order_id) == ["InventoryReserved", "InventoryReserved"]
    assert [event.get("repeat") for event in wire.of_order(twice.order_id)] == [None, True], "answered, not held again"
    assert wire.types(undone_first.order_id) == ["InventoryReserved", "InventoryReleased"]
    assert wire.types(late.order_id) == []
    assert await quantities(client, product_id) == (8, 2)


def poison() -> dict[str, Any]:
    good = created(order_created((uuid4(), 1)))
    return {
        "not-json": b"{",
        "not-cloudevents": {**good, "specversion": "0.3"},
        "unknown-type": {**good, "type": "OrderFramed"},
        "invalid-data": {**good, "data": {**good["data"], "items": []}},  # type: ignore[dict-item]
        "unknown-order": cloud_event("OrderCompleted", {"order_id": uuid4()}),
    }


@pytest.mark.parametrize("reason", poison())
async def test_what_cannot_be_taken_goes_to_the_dead_letters_and_harms_nothing_else(
    client: httpx.AsyncClient, wire: Wire, product_id: UUID, reason: str
) -> None:
    order, bad = order_created((product_id, 1)), poison()[reason]
    if isinstance(bad, bytes):
        await wire.send_raw("order.created", bad, "application/cloudevents+json")
        await wire.send("order.created", created(order))
    else:
        await wire.send("order.created", bad, created(order))
    await eventually(lambda: wire.types(order.order_id) == ["InventoryReserved"])
    letters = []

    async def dead_letter_came() -> bool:
        letters.append(await wire.take_dead_letter(SERVICE))
        return letters[-1] is not None

    await eventually(dead_letter_came)
    headers = letters[-1].headers  # type: ignore[union-attr]
    assert (headers["x-reason"], headers["x-service"]) == (reason, SERVICE)
    assert headers["x-routing-key"] == "order.created"
    assert await wire.take_dead_letter(SERVICE) is None


async def test_what_was_published_leaves_the_outbox(
    client: httpx.AsyncClient, wire: Wire, product_id: UUID, database_url: str
) -> None:
    await everything_before_is_done(wire, product_id)
    main = importlib.import_module("main")

    async def empty() -> bool:
        async with main.service.database.autocommit() as connection:
            return not (await connection.exec_driver_sql("SELECT 1 FROM outbox")).first()

    await eventually(empty)


async def test_the_service_tells_how_it_is(client: httpx.AsyncClient) -> None:
    health = (await client.get("/health")).json()
    assert (health["status"], health["service"]) == ("ok", SERVICE)
    assert health["checks"].keys() == {"database", "broker", "consumer", "outbox", "jobs"}
    assert [(await client.get(f"/health/{kind}")).status_code for kind in ("live", "ready")] == [200, 200]
    running = {task.get_name() for task in asyncio.all_tasks()}
    prunings = {"pruning of inbox", "pruning of tombstones"}
    assert {"reminders", "outbox sweep", *prunings} <= running
    assert "events_consumed_total" in (await client.get("/metrics")).text


async def test_errors_of_the_domain_have_their_status(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/inventory/{uuid4()}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/item-not-found")
