"""The whole service, as uvicorn runs it, between a real PostgreSQL and a real RabbitMQ."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from chassis.messaging.envelope import SINGLE, join
from chassis.ports.ids import uuid7
from chassis.testing import eventually
from chassis.testing.world import World

from tests.contracts import fact
from tests.postgres import SERVICE, Postgres


@pytest.fixture
async def product_id(service: httpx.AsyncClient) -> UUID:
    """A product of the test's own, with ten pieces."""
    product_id = uuid4()
    answer = await service.put(f"/inventory/{product_id}", json={"quantity_available": 10})
    assert answer.status_code == 201
    return product_id


async def quantities(service: httpx.AsyncClient, product_id: UUID) -> tuple[int, int]:
    item = (await service.get(f"/inventory/{product_id}")).json()
    return item["quantity_available"], item["reserved_quantity"]


def created(order_id: UUID, product_id: UUID, quantity: int = 1) -> dict[str, Any]:
    lines = [{"product_id": str(product_id), "quantity": quantity, "price": 19.99}]
    expires_at = (datetime.now(UTC) + timedelta(minutes=15)).isoformat()
    return fact("OrderCreated", order_id, items=lines, total_amount=59.97, expires_at=expires_at)


async def everything_before_is_done(others: World, product_id: UUID) -> None:
    """Reports one more order and waits for it: what was reported before it was taken before it."""
    order_id = uuid4()
    await others.report(created(order_id, product_id))
    await eventually(lambda: others.names(order_id))


async def test_an_order_is_held_then_sold(service: httpx.AsyncClient, others: World, product_id: UUID) -> None:
    order_id = uuid4()
    order = created(order_id, product_id, 3)
    await others.report(order)
    await eventually(lambda: others.events(order_id))
    [reserved] = others.events(order_id)
    assert (reserved["type"], reserved["source"]) == ("InventoryReserved", SERVICE)
    assert (reserved["traceparent"], reserved["data"]["total_amount"]) == (order["traceparent"], 59.97)
    assert await quantities(service, product_id) == (7, 3)

    await others.report(fact("OrderCompleted", order_id))

    async def sold() -> bool:
        return await quantities(service, product_id) == (7, 0)

    await eventually(sold)


async def test_a_reservation_that_nobody_decides_about_is_said_again_by_the_service_itself(
    postgres: Postgres, others: World, product_id: UUID
) -> None:
    order_id = uuid4()
    await others.report(created(order_id, product_id))
    await eventually(lambda: others.names(order_id) == ["InventoryReserved"])
    await postgres.execute("UPDATE reservations SET remind_at = now() WHERE order_id = :id", id=order_id)
    await eventually(lambda: others.names(order_id) == ["InventoryReserved", "InventoryReserved"])
    first, again = others.events(order_id)
    assert (first.get("repeat"), again["repeat"], again["data"]) == (None, True, first["data"])


async def test_an_order_that_fails_gives_its_pieces_back(
    service: httpx.AsyncClient, others: World, product_id: UUID
) -> None:
    order_id = uuid4()
    await others.report(created(order_id, product_id), fact("OrderFailed", order_id, reason="payment-declined"))
    await eventually(lambda: others.names(order_id) == ["InventoryReserved", "InventoryReleased"])
    assert others.events(order_id)[1]["data"]["reason"] == "payment-declined"
    assert await quantities(service, product_id) == (10, 0)


async def test_what_comes_twice_or_in_another_order_takes_effect_once(
    service: httpx.AsyncClient, others: World, product_id: UUID
) -> None:
    twice, undone_first, late = uuid4(), uuid4(), uuid4()
    event = created(twice, product_id)
    await others.report(event, created(undone_first, product_id), event)
    await others.report(fact("OrderCancelled", undone_first))
    for _ in range(3):
        await others.report(event)
    await others.report(fact("OrderCancelled", late))
    await others.report(created(late, product_id), event | {"id": str(uuid7())})
    await everything_before_is_done(others, product_id)
    assert others.names(twice) == ["InventoryReserved", "InventoryReserved"]
    assert [event.get("repeat") for event in others.events(twice)] == [None, True], "answered, not held again"
    assert others.names(undone_first) == ["InventoryReserved", "InventoryReleased"]
    assert others.names(late) == []
    assert await quantities(service, product_id) == (8, 2)


def poison() -> dict[str, Any]:
    good = created(uuid4(), uuid4())
    return {
        "not-json": b"{",
        "not-cloudevents": {**good, "specversion": "0.3"},
        "unknown-type": {**good, "type": "OrderFramed"},
        "invalid-data": {**good, "data": {**good["data"], "items": []}},
        "unknown-order": fact("OrderCompleted", uuid4()),
    }


@pytest.mark.parametrize("reason", poison())
async def test_what_cannot_be_taken_goes_to_the_dead_letters_and_harms_nothing_else(
    others: World, product_id: UUID, reason: str
) -> None:
    order_id, bad = uuid4(), poison()[reason]
    good = orjson.dumps(created(order_id, product_id))
    key = "order.completed" if reason == "unknown-order" else "order.created"
    if isinstance(bad, bytes) or key != "order.created":
        await others.send(key, bad if isinstance(bad, bytes) else orjson.dumps(bad), SINGLE)
        await others.send("order.created", good, SINGLE)
    else:
        await others.send("order.created", *join([orjson.dumps(bad), good]))
    await eventually(lambda: others.names(order_id) == ["InventoryReserved"])
    await eventually(lambda: others.dead_letters)
    await everything_before_is_done(others, product_id)
    [letter] = others.dead_letters
    assert (letter.headers["x-reason"], letter.headers["x-service"]) == (reason, SERVICE)
    assert letter.headers["x-routing-key"] == key


async def test_what_was_published_leaves_the_outbox(postgres: Postgres, others: World, product_id: UUID) -> None:
    await everything_before_is_done(others, product_id)

    async def empty() -> bool:
        return not await postgres.execute("SELECT 1 FROM outbox")

    await eventually(empty)


async def test_the_service_tells_how_it_is(service: httpx.AsyncClient) -> None:
    health = (await service.get("/health")).json()
    assert (health["status"], health["service"]) == ("ok", SERVICE)
    assert health["checks"].keys() == {"database", "broker", "consumer", "outbox", "jobs"}
    assert [(await service.get(f"/health/{kind}")).status_code for kind in ("live", "ready")] == [200, 200]
    running = {task.get_name() for task in asyncio.all_tasks()}
    assert {"reminders", "outbox sweep", "pruning of inbox", "pruning of tombstones"} <= running
    assert "events_consumed_total" in (await service.get("/metrics")).text


async def test_errors_of_the_domain_have_their_status(service: httpx.AsyncClient) -> None:
    answer = await service.get(f"/inventory/{uuid4()}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/item-not-found")
