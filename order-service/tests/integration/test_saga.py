"""The whole service on real servers, with the other services played by the test: what it says and what it hears."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE
from chassis.ports.ids import uuid7
from chassis.ports.tracing import unsampled
from chassis.postgres.database import Database
from chassis.testing import eventually
from chassis.testing.world import World
from sqlalchemy import text

from tests.builders import TRACEPARENT
from tests.contracts import OURS, fact
from tests.shop import TRACED, order_body, place


async def order_of(service: httpx.AsyncClient, order_id: str) -> dict[str, Any]:
    order: dict[str, Any] = (await service.get(f"/orders/{order_id}")).json()
    return order


async def until(service: httpx.AsyncClient, order_id: str, status: str) -> dict[str, Any]:
    async def reached() -> bool:
        return bool((await order_of(service, order_id))["status"] == status)

    await eventually(reached)
    return await order_of(service, order_id)


async def timeline(service: httpx.AsyncClient, order_id: str) -> list[tuple[str, str]]:
    lines = (await service.get(f"/orders/{order_id}/timeline")).json()
    return [(line["event"], line["status"]) for line in lines]


async def test_an_accepted_order_is_told_as_a_cloudevent(service: httpx.AsyncClient, others: World) -> None:
    answer = await service.post("/orders", json=order_body(), headers=TRACED)
    order = answer.json()
    await eventually(lambda: others.names(order["id"]) == ["OrderCreated"])

    message = others.message_of(order["id"], "OrderCreated")
    assert (message.routing_key, message.content_type, message.delivery_mode) == ("order.created", SINGLE, 2)
    assert UUID(message.message_id)
    [event] = others.events(order["id"])
    assert OURS.violations(event, "OrderCreated") == []
    assert event["traceparent"] == unsampled(TRACEPARENT)
    assert event["time"] == order["created_at"]
    assert event["data"] == {
        "order_id": order["id"],
        **{name: order[name] for name in ("customer_id", "items", "total_amount", "currency", "expires_at")},
        "price_trusted": True,
    }


async def test_the_facts_take_an_order_to_its_end(
    service: httpx.AsyncClient, others: World, database: Database
) -> None:
    order = await place(service)
    await others.report(fact("InventoryReserved", order["id"]))
    await until(service, order["id"], "confirmed")
    await others.report(fact("PaymentProcessed", order["id"]))
    completed = await until(service, order["id"], "completed")

    assert completed["updated_at"] > order["updated_at"]
    assert await timeline(service, order["id"]) == [
        ("OrderCreated", "pending"),
        ("OrderConfirmed", "confirmed"),
        ("OrderCompleted", "completed"),
    ]
    await eventually(lambda: len(others.names(order["id"])) == 3)
    for event in others.events(order["id"]):
        assert OURS.violations(event, event["type"]) == []

    async def outbox_is_empty() -> bool:
        async with database.autocommit() as connection:
            left = text("SELECT count(*) FROM outbox WHERE order_id = :order_id")
            return bool((await connection.execute(left, {"order_id": order["id"]})).scalar_one() == 0)

    await eventually(outbox_is_empty)


@pytest.mark.parametrize(
    ("name", "reason"), [("InventoryUnavailable", "out-of-stock"), ("PaymentFailed", "payment-declined")]
)
async def test_a_failure_is_told_with_its_reason(
    service: httpx.AsyncClient, others: World, name: str, reason: str
) -> None:
    order = await place(service)
    await others.report(fact(name, order["id"], reason=reason))
    assert (await until(service, order["id"], "failed"))["reason"] == reason
    await eventually(lambda: "OrderFailed" in others.names(order["id"]))
    assert others.events(order["id"])[-1]["data"]["reason"] == reason
    assert (await service.delete(f"/orders/{order['id']}")).status_code == 409


async def test_a_cancelled_order_and_its_compensations(service: httpx.AsyncClient, others: World) -> None:
    order = await place(service)
    await others.report(fact("InventoryReserved", order["id"]))
    await until(service, order["id"], "confirmed")
    assert (await service.delete(f"/orders/{order['id']}")).json()["status"] == "cancelled"
    await eventually(lambda: "OrderCancelled" in others.names(order["id"]))

    for name in ("InventoryReleased", "PaymentRefunded"):
        for _ in range(2):
            await others.report(fact(name, order["id"], reason="cancelled-by-customer"))

    async def has_both() -> bool:
        return len(await timeline(service, order["id"])) == 5

    await eventually(has_both)
    # A fact that comes after the doubled ones shows that these have been read.
    await others.report(fact("InventoryReserved", order["id"]))
    await eventually(lambda: others.names(order["id"]).count("OrderCancelled") == 2)
    assert [event for event, _ in await timeline(service, order["id"])][3:] == ["InventoryReleased", "PaymentRefunded"]


async def test_a_lost_decision_is_said_again_as_another_event_that_says_so(
    service: httpx.AsyncClient, others: World
) -> None:
    order = await place(service)
    await service.delete(f"/orders/{order['id']}")
    await eventually(lambda: "OrderCancelled" in others.names(order["id"]))
    await others.report(fact("PaymentProcessed", order["id"]))
    await eventually(lambda: others.names(order["id"]).count("OrderCancelled") == 2)
    first, again = [event for event in others.events(order["id"]) if event["type"] == "OrderCancelled"]
    assert first["id"] != again["id"]
    assert again == first | {"id": again["id"], "time": again["time"], "repeat": True}


async def test_an_order_that_nobody_answers_is_said_again_by_the_service_itself(
    service: httpx.AsyncClient, others: World, database: Database
) -> None:
    order = await place(service)

    async def said_again(event: str) -> None:
        async with database.autocommit() as connection:
            await connection.execute(
                text("UPDATE orders SET remind_at = now() WHERE id = :id AND remind_at > now()"), {"id": order["id"]}
            )
        await eventually(lambda: others.names(order["id"]).count(event) == 2)
        first, again = [said for said in others.events(order["id"]) if said["type"] == event]
        assert (first.get("repeat"), again["repeat"], again["data"]) == (None, True, first["data"])

    await said_again("OrderCreated")
    await service.delete(f"/orders/{order['id']}")
    await said_again("OrderCancelled")


async def test_an_event_delivered_twice_takes_effect_once(
    service: httpx.AsyncClient, others: World, database: Database
) -> None:
    order = await place(service)
    reserved, released = fact("InventoryReserved", order["id"]), fact("InventoryReleased", order["id"])
    await others.report(reserved, released, reserved, released)
    await others.send("inventory.reserved", orjson.dumps(reserved), SINGLE)
    await others.report(reserved, released, released)
    await others.report(fact("PaymentProcessed", order["id"]))
    await until(service, order["id"], "completed")

    assert [event for event, _ in await timeline(service, order["id"])] == [
        "OrderCreated",
        "OrderConfirmed",
        "InventoryReleased",
        "OrderCompleted",
    ]
    await eventually(lambda: len(others.names(order["id"])) == 3)
    async with database.autocommit() as connection:
        known = text("SELECT count(*) FROM inbox WHERE event_id = ANY(:ids)")
        ids = [UUID(reserved["id"]), UUID(released["id"])]
        assert (await connection.execute(known, {"ids": ids})).scalar_one() == 2


async def test_many_orders_settled_at_once_all_end_as_they_should(service: httpx.AsyncClient, others: World) -> None:
    orders = [order["id"] for order in await asyncio.gather(*(place(service) for _ in range(60)))]
    await others.report(
        *(fact("PaymentProcessed", order_id) for order_id in orders[::2]),
        *(fact("InventoryReserved", order_id) for order_id in orders[::2]),
        *(fact("InventoryUnavailable", order_id, reason="out-of-stock") for order_id in orders[1::2]),
    )
    for number, order_id in enumerate(orders):
        await until(service, order_id, "failed" if number % 2 else "completed")
        ending = "OrderFailed" if number % 2 else "OrderCompleted"
        await eventually(lambda order_id=order_id, ending=ending: ending in others.names(order_id))  # type: ignore[misc]


async def test_an_order_whose_time_is_up_fails(service: httpx.AsyncClient, others: World, database: Database) -> None:
    order = await place(service)
    async with database.autocommit() as connection:
        await connection.execute(text("UPDATE orders SET due_at = now() WHERE id = :id"), {"id": UUID(order["id"])})
    assert (await until(service, order["id"], "failed"))["reason"] == "expired"
    await eventually(lambda: others.names(order["id"]) == ["OrderCreated", "OrderFailed"])


UNREADABLE = {
    "not-json": b"not JSON",
    "not-cloudevents": orjson.dumps({"hello": "world"}),
    "empty-batch": b"[]",
    "too-large": orjson.dumps("x" * 600_000),
    "unknown-type": orjson.dumps(fact("PaymentProcessed", str(uuid7())) | {"type": "PaymentDoubted"}),
    "invalid-data": orjson.dumps(fact("PaymentProcessed", str(uuid7())) | {"data": {"order_id": "none"}}),
    "unknown-order": orjson.dumps(fact("PaymentProcessed", str(uuid7()))),
}


@pytest.mark.parametrize("reason", UNREADABLE)
async def test_what_can_t_be_taken_in_goes_to_the_dead_letters_with_its_reason(others: World, reason: str) -> None:
    body = UNREADABLE[reason]
    await others.send("payment.processed", body, BATCH if reason == "empty-batch" else SINGLE)

    letter = await others.dead_letter(body)

    headers = dict(letter.headers)
    assert headers.pop("x-error")
    assert headers == {
        "x-reason": reason,
        "x-service": "order-service",
        "x-routing-key": "payment.processed",
        "x-attempts": 1,
    }
    assert letter.delivery_mode == 2


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
async def test_a_message_of_another_content_type_goes_to_the_dead_letters(
    others: World, content_type: str | None
) -> None:
    body = orjson.dumps(fact("PaymentProcessed", str(uuid7())))
    await others.send("payment.processed", body, content_type)
    letter = await others.dead_letter(body)
    assert letter.headers["x-reason"] == "unsupported-content-type"
    assert letter.content_type == content_type


async def test_bad_events_harm_no_good_one_of_their_message(service: httpx.AsyncClient, others: World) -> None:
    first, second = await place(service), await place(service)
    unknown = fact("PaymentProcessed", str(uuid7()))
    invalid = fact("PaymentProcessed", "none")
    cursed = fact("PaymentProcessed", (await place(service))["id"], currency="null character \x00")
    batch = [fact("PaymentProcessed", first["id"]), invalid, unknown, cursed, fact("PaymentProcessed", second["id"])]
    await others.send("payment.processed", orjson.dumps(batch), BATCH)

    for order in (first, second):
        await until(service, order["id"], "completed")
    assert (await others.dead_letter(orjson.dumps(unknown))).headers["x-reason"] == "unknown-order"
    assert (await others.dead_letter(orjson.dumps(cursed))).headers["x-reason"] == "forged"
    assert (await others.dead_letter(orjson.dumps(invalid))).headers["x-reason"] == "invalid-data"


async def test_a_customer_s_orders_are_paged_in_the_database_too(service: httpx.AsyncClient) -> None:
    customer = str(uuid4())
    orders = [(await place(service, customer_id=customer))["id"] for _ in range(5)]
    seen: list[str] = []
    url = f"/orders/customer/{customer}?limit=2"
    while url and len(seen) <= len(orders):
        answer = await service.get(url)
        seen += [order["id"] for order in answer.json()]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert seen == orders[::-1]
