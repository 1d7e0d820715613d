"""The orders resource, with database and broker faked: what a shop gets."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from chassis.ports.ids import uuid7
from chassis.ports.tracing import unsampled
from chassis.testing import received

from api.schemas import OrderResponse
from application.handle_events import handle_events
from domain.order import Status
from infrastructure.unit_of_work import ORDERS
from tests.builders import NOON, TRACEPARENT, an_order, line, order_in
from tests.facts import MISSING, unavailable
from tests.running import OrderUnits
from tests.shop import PRODUCT, TRACE, TRACED, assert_problem, order_body, place


async def test_an_accepted_order_is_answered_whole_and_can_be_fetched(client: httpx.AsyncClient) -> None:
    customer = str(uuid4())
    answer = await client.post("/orders", json=order_body(customer_id=customer), headers=TRACED)

    assert answer.status_code == 201
    order = answer.json()
    assert UUID(order.pop("id")).version == 7
    assert order == dict.fromkeys(OrderResponse.model_fields.keys() - {"id"}) | {
        "customer_id": customer,
        "items": [{"product_id": PRODUCT, "quantity": 2, "price": 19.99}],
        "total_amount": 39.98,
        "currency": "USD",
        "status": "pending",
        "shortages": [],
        "expires_at": "2026-11-24T12:15:00.123456Z",
        "created_at": "2026-11-24T12:00:00.123456Z",
        "updated_at": "2026-11-24T12:00:00.123456Z",
        "trace_id": TRACE,
    }
    assert "Idempotent-Replayed" not in answer.headers
    fetched = await client.get(answer.headers["Location"])
    assert (fetched.status_code, fetched.json()) == (200, answer.json())


@pytest.mark.parametrize(
    ("price", "quantity", "total"),
    [
        (b"19.99", 2, b"39.98"),
        (b"0.1", 3, b"0.3"),
        (b"0.01", 1, b"0.01"),
        (b"5", 1, b"5.0"),
        (b"4.35", 100, b"435.0"),
        (b"9999999999.99", 1, b"9999999999.99"),
        (b'"19.99"', 1, b"19.99"),
        (b"1e2", 1, b"100.0"),
    ],
)
async def test_money_comes_back_as_the_number_that_was_sent(
    client: httpx.AsyncClient, units: OrderUnits, price: bytes, quantity: int, total: bytes
) -> None:
    body = orjson.dumps(order_body(price=0, quantity=quantity)).replace(b'"price":0', b'"price":' + price)
    answer = await client.post("/orders", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 201, answer.text
    assert b'"total_amount":' + total + b"," in answer.content
    assert answer.json()["items"][0]["price"] == float(price.strip(b'"'))
    kept = units.kept(ORDERS)[UUID(answer.json()["id"])]
    assert kept.items[0].price == Decimal(price.strip(b'"').decode())


async def test_a_caller_s_trace_goes_on_in_the_order_s_events_and_its_flag_does_not(
    client: httpx.AsyncClient, units: OrderUnits
) -> None:
    await client.post("/orders", json=order_body(), headers=TRACED)
    await client.post("/orders", json=order_body(), headers={"traceparent": "not one"})
    assert units.published[0].traceparent == unsampled(TRACEPARENT)
    assert len(units.published[1].traceparent) == len(TRACEPARENT)
    assert units.published[1].traceparent != TRACEPARENT


async def test_a_request_under_the_same_key_gets_the_first_answer_again(
    client: httpx.AsyncClient, units: OrderUnits
) -> None:
    body, key = order_body(), {"Idempotency-Key": "cart-42"}
    first = await client.post("/orders", json=body, headers=key)
    await client.delete(first.headers["Location"])
    again = await client.post("/orders", json=body, headers=key)

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.headers["Location"], again.content) == (
        201,
        first.headers["Location"],
        first.content,
    )
    assert [event.name for event in units.events] == ["OrderCreated", "OrderCancelled"]


async def test_an_order_shows_what_was_missing_and_its_replay_does_not(
    client: httpx.AsyncClient, units: OrderUnits
) -> None:
    body, key = order_body(), {"Idempotency-Key": "cart-42"}
    first = await client.post("/orders", json=body, headers=key)
    await units.run(handle_events, [received(unavailable(UUID(first.json()["id"])))])
    shown = (await client.get(first.headers["Location"])).json()
    assert (shown["status"], shown["reason"]) == ("failed", "out-of-stock")
    assert shown["shortages"] == [{"product_id": str(MISSING.product_id), "missing": MISSING.missing}]
    assert (await client.get("/orders")).json() == [shown]
    assert (await client.post("/orders", json=body, headers=key)).json() == first.json()


async def test_the_same_body_written_otherwise_is_the_same_request(client: httpx.AsyncClient) -> None:
    body, key = (
        order_body(price=19.9),
        {"Idempotency-Key": "cart-42", "content-type": "application/json; charset=utf-8"},
    )
    first = await client.post("/orders", json=body, headers={"Idempotency-Key": "cart-42"})
    item = {"price": "19.90", "quantity": 2.0, "product_id": PRODUCT.upper()}
    reordered = {"items": [item], "customer_id": body["customer_id"].upper()}
    again = await client.post("/orders", content=orjson.dumps(reordered, option=orjson.OPT_INDENT_2), headers=key)
    assert (again.headers["Idempotent-Replayed"], again.json()["id"]) == ("true", first.json()["id"])


async def test_the_same_key_with_another_body_is_refused(client: httpx.AsyncClient) -> None:
    customer, key = str(uuid4()), {"Idempotency-Key": "cart-42"}
    await client.post("/orders", json=order_body(customer_id=customer), headers=key)
    answer = await client.post("/orders", json=order_body(customer_id=customer, quantity=3), headers=key | TRACED)
    assert_problem(answer, 422, "idempotency-key-reused")


async def test_a_cancelled_order_is_answered_and_answered_again(client: httpx.AsyncClient, units: OrderUnits) -> None:
    order = await place(client)
    units.now += timedelta(minutes=1)
    first = await client.delete(f"/orders/{order['id']}")
    units.now += timedelta(minutes=1)
    again = await client.delete(f"/orders/{order['id']}")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == order | {
        "status": "cancelled",
        "reason": "cancelled-by-customer",
        "updated_at": "2026-11-24T12:01:00.123456Z",
    }
    assert again.content == first.content


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
async def test_a_final_order_can_t_be_cancelled(client: httpx.AsyncClient, units: OrderUnits, status: Status) -> None:
    order = order_in(status)
    await units.put(ORDERS, order)
    problem = assert_problem(await client.delete(f"/orders/{order.id}"), 409, "illegal-transition")
    assert status in problem["detail"]
    assert "cancelled" in problem["detail"]


async def test_the_timeline_tells_all_that_happened_oldest_first(client: httpx.AsyncClient, units: OrderUnits) -> None:
    order = order_in(Status.CANCELLED)
    order.record_compensation("InventoryReleased", "cancelled-by-customer", NOON + timedelta(minutes=1))
    await units.put(ORDERS, order)

    answer = await client.get(f"/orders/{order.id}/timeline")

    assert answer.json() == [
        {"at": "2026-11-24T12:00:00.123456Z", "event": "OrderCreated", "status": "pending", "reason": None},
        {
            "at": "2026-11-24T12:00:01.123456Z",
            "event": "OrderCancelled",
            "status": "cancelled",
            "reason": "cancelled-by-customer",
        },
        {
            "at": "2026-11-24T12:01:00.123456Z",
            "event": "InventoryReleased",
            "status": "cancelled",
            "reason": "cancelled-by-customer",
        },
    ]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/timeline")])
async def test_an_order_that_is_not_there_is_a_404(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, f"/orders/{uuid7()}{path}", headers=TRACED)
    assert_problem(answer, 404, "order-not-found")


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 6])
async def test_a_customer_s_orders_come_newest_first_page_by_page(
    client: httpx.AsyncClient, units: OrderUnits, number: int
) -> None:
    customer = uuid4()
    theirs = [an_order(line(), customer_id=customer) for _ in range(number)]
    await units.put(ORDERS, *theirs, an_order())

    seen, pages, url = [], 0, f"/orders/customer/{customer}?limit=2"
    while url and pages <= number:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        pages += 1
        seen += [order["id"] for order in answer.json()]
        url = answer.links["next"]["url"] if "next" in answer.links else ""

    assert seen == [str(order.id) for order in reversed(theirs)]
    assert pages == max(1, (number + 1) // 2)


async def test_a_page_has_fifty_orders_unless_asked_otherwise(client: httpx.AsyncClient, units: OrderUnits) -> None:
    customer = uuid4()
    await units.put(ORDERS, *(an_order(customer_id=customer) for _ in range(201)))
    assert len((await client.get(f"/orders/customer/{customer}")).json()) == 50
    assert len((await client.get(f"/orders/customer/{customer}?limit=200")).json()) == 200


async def test_a_cursor_made_up_by_hand_is_a_place_in_the_list_or_refused(
    client: httpx.AsyncClient, units: OrderUnits
) -> None:
    customer = uuid4()
    await units.put(ORDERS, an_order(customer_id=customer))
    last, first = UUID(int=2**128 - 1), UUID(int=0)
    assert len((await client.get(f"/orders/customer/{customer}?cursor={last}")).json()) == 1
    assert (await client.get(f"/orders/customer/{customer}?cursor={first}")).json() == []


async def test_staff_list_orders_by_status_customer_and_time(client: httpx.AsyncClient, units: OrderUnits) -> None:
    customer = str(uuid4())
    first = await place(client, customer_id=customer)
    units.now += timedelta(minutes=1)
    second, other = await place(client, customer_id=customer), await place(client)
    await client.delete(f"/orders/{second['id']}")

    async def listed(**asked: str | int) -> list[str]:
        return [order["id"] for order in (await client.get("/orders", params=asked)).raise_for_status().json()]

    assert await listed() == [other["id"], second["id"], first["id"]]
    assert await listed(status="cancelled") == [second["id"]]
    assert await listed(customer_id=customer) == [second["id"], first["id"]]
    assert await listed(since=second["created_at"]) == [other["id"], second["id"]]
    assert await listed(customer_id=customer, since=second["created_at"], status="pending") == []


async def test_the_next_page_of_a_list_keeps_what_was_asked_for(client: httpx.AsyncClient) -> None:
    customer = str(uuid4())
    placed = [(await place(client, customer_id=customer))["id"] for _ in range(3)]
    await place(client)
    page = await client.get("/orders", params={"customer_id": customer, "status": "pending", "limit": 2})
    rest = await client.get(page.links["next"]["url"])
    assert [order["id"] for order in page.json() + rest.json()] == placed[::-1]
    assert "next" not in rest.links


@pytest.mark.parametrize(
    "asked",
    ["status=lost", "since=2026-11-24T12:00:00", "since=noon", "since=0.5", "since=-1", "customer_id=me", "limit=0"],
)
async def test_a_list_of_what_can_not_be_is_refused(client: httpx.AsyncClient, asked: str) -> None:
    assert_problem(await client.get(f"/orders?{asked}"), 422, "validation-error")
