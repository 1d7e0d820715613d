import re
from itertools import count
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.postgres.database import Database
from chassis.testing.running import NOWHERE
from chassis.testing.text import places_that_refuse_unstorable_text

from tests.inventory import Inventory
from tests.messages import order_created

PRODUCT = UUID(int=1)
JSON = {"content-type": "application/json"}


def assert_problem(answer: httpx.Response, status: int, slug: str) -> Any:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"/problems/{slug}", status)
    assert problem["instance"] == answer.request.url.path
    assert re.fullmatch("[0-9a-f]{32}", problem["trace_id"])
    assert problem["title"]
    assert problem["detail"]
    return problem


async def test_stock_is_made_then_set(client: httpx.AsyncClient) -> None:
    made = await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 100})
    changed = await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 7})
    assert (made.status_code, changed.status_code) == (201, 200)
    assert changed.json() == (await client.get(f"/inventory/{PRODUCT}")).json()
    assert changed.json()["id"] == made.json()["id"]
    assert set(changed.json()) == {
        *("id", "product_id", "quantity_available", "reserved_quantity", "price", "created_at", "updated_at")
    }
    assert (changed.json()["product_id"], changed.json()["quantity_available"]) == (str(PRODUCT), 7)
    assert changed.json()["created_at"].endswith("Z")


async def test_what_is_reserved_is_shown_and_not_touched(client: httpx.AsyncClient, inventory: Inventory) -> None:
    await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 10})
    await inventory.take(order_created((PRODUCT, 3)))
    shown = (await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 0})).json()
    assert (shown["quantity_available"], shown["reserved_quantity"]) == (0, 3)


@pytest.mark.parametrize("quantity", ["0", "7.0", "1000000000"])
async def test_a_quantity_may_be_none_and_a_billion(client: httpx.AsyncClient, quantity: str) -> None:
    made = await client.put(f"/inventory/{PRODUCT}", content=f'{{"quantity_available": {quantity}}}', headers=JSON)
    assert (made.status_code, made.json()["quantity_available"]) == (201, int(float(quantity)))


@pytest.mark.parametrize("quantity", ["-1", "1000000001", "0.5", '"7"', "true", "null", "[]"])
async def test_a_quantity_that_is_no_count_of_pieces_is_refused(client: httpx.AsyncClient, quantity: str) -> None:
    refused = await client.put(f"/inventory/{PRODUCT}", content=f'{{"quantity_available": {quantity}}}', headers=JSON)
    problem = assert_problem(refused, 422, "validation-error")
    assert [error["path"] for error in problem["errors"]] == ["quantity_available"]


async def test_a_page_has_as_many_items_as_were_asked_for(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.put(f"/inventory/{uuid4()}", json={"quantity_available": 1})
    first = await client.get("/inventory?limit=2")
    assert len(first.json()) == 2
    rest = await client.get(first.links["next"]["url"])
    assert len(rest.json()) == 1
    assert "next" not in rest.links


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        ("null", None),
        ("0.01", 0.01),
        ("20", 20),
        ('"20.5"', 20.5),
        ("9999999999.99", 9999999999.99),
        ('"9999999999.99"', 9999999999.99),
    ],
)
async def test_a_price_is_shown_as_a_number_or_as_null(
    client: httpx.AsyncClient, price: str, shown: float | None
) -> None:
    await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 1, "price": 5})
    body = f'{{"quantity_available": 1, "price": {price}}}'
    put = await client.put(f"/inventory/{PRODUCT}", content=body, headers=JSON)
    assert (put.status_code, put.json()["price"]) == (200, shown)
    assert (await client.get(f"/inventory/{PRODUCT}")).json() == put.json()
    assert (await client.get("/inventory")).json() == [put.json()]


async def test_a_body_without_a_price_leaves_it_as_it_is(client: httpx.AsyncClient) -> None:
    made = await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 1})
    assert made.json()["price"] is None
    await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 1, "price": 19.99})
    put = await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 2})
    assert (put.json()["quantity_available"], put.json()["price"]) == (2, 19.99)


async def test_a_product_without_stock_is_not_found(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get(f"/inventory/{uuid4()}"), 404, "item-not-found")


@pytest.mark.parametrize("quantity", [0, 1_000_000_000])
async def test_the_bounds_of_stock_are_taken(client: httpx.AsyncClient, quantity: int) -> None:
    answer = await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": quantity})
    assert answer.json()["quantity_available"] == quantity


@pytest.mark.parametrize(
    ("body", "status", "slug", "path"),
    [
        (b'{"quantity_available": -1}', 422, "validation-error", "quantity_available"),
        (b'{"quantity_available": 1000000001}', 422, "validation-error", "quantity_available"),
        (b'{"quantity_available": 1.5}', 422, "validation-error", "quantity_available"),
        (b'{"quantity_available": 1e400}', 422, "validation-error", "quantity_available"),
        (b'{"quantity_available": %s}' % (b"9" * 5_000), 400, "malformed-json", None),
        (b'{"quantity_available": null}', 422, "validation-error", "quantity_available"),
        (b'{"quantity_available": "many\\u0000"}', 422, "validation-error", "quantity_available"),
        (b'{"quantity_available": 1, "reserved_quantity": 0}', 422, "validation-error", "reserved_quantity"),
        (b'{"price": 1}', 422, "validation-error", "quantity_available"),
        (b'{"quantity_available": 1, "price": 0}', 422, "validation-error", "price"),
        (b'{"quantity_available": 1, "price": -1}', 422, "validation-error", "price"),
        (b'{"quantity_available": 1, "price": 1.001}', 422, "validation-error", "price"),
        (b'{"quantity_available": 1, "price": 19.990000000000000001}', 422, "validation-error", "price"),
        (b'{"quantity_available": 1, "price": 10000000000}', 422, "validation-error", "price"),
        (b'{"quantity_available": 1, "price": "1e2"}', 422, "validation-error", "price"),
        (b'{"quantity_available": 1, "price": ""}', 422, "validation-error", "price"),
        (b'{"quantity_available": 1, "price": true}', 422, "validation-error", "price"),
        (b"{}", 422, "validation-error", "quantity_available"),
        (b"[1]", 422, "validation-error", "body"),
        (b"", 400, "malformed-json", None),
        (b'{"quantity_available": 1', 400, "malformed-json", None),
        (b'{"quantity_available": "\\ud800"}', 422, "validation-error", "quantity_available"),
        (b"[" * 60_000, 400, "malformed-json", None),
        (b'{"quantity_available": "%s"}' % (b"9" * 70_000), 413, "content-too-large", None),
    ],
    ids=count(),
)
async def test_a_body_that_is_not_stock_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int, slug: str, path: str | None
) -> None:
    problem = assert_problem(await client.put(f"/inventory/{PRODUCT}", content=body, headers=JSON), status, slug)
    assert [error["path"] for error in problem.get("errors", [])] == ([path] if path else [])


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_does_not_call_itself_json_is_refused(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.put(
        f"/inventory/{PRODUCT}", content=b'{"quantity_available": 1}', headers={"content-type": content_type}
    )
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/inventory/not-a-uuid", 422, "validation-error"),
        ("GET", "/inventory/%00", 422, "validation-error"),
        ("PUT", "/inventory/not-a-uuid", 422, "validation-error"),
        ("POST", "/inventory/not-a-uuid/changes", 422, "validation-error"),
        ("GET", "/inventory?limit=0", 422, "validation-error"),
        ("GET", "/inventory?limit=201", 422, "validation-error"),
        ("GET", "/inventory?cursor=%27%20OR%201", 422, "validation-error"),
        ("DELETE", f"/inventory/{PRODUCT}", 405, "method-not-allowed"),
        ("GET", "/nowhere", 404, "not-found"),
    ],
)
async def test_a_request_that_cannot_be_meant_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, slug: str
) -> None:
    assert_problem(await client.request(method, path), status, slug)


async def test_an_outage_is_answered_with_when_to_come_again(main: ModuleType, client: httpx.AsyncClient) -> None:
    main.service.database = Database(lambda: f"postgresql+asyncpg://{NOWHERE}/none", pool_size=1, service="", schema="")
    for answer in [
        await client.get(f"/inventory/{PRODUCT}"),
        await client.get("/inventory"),
        await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 1}),
        await client.post(f"/inventory/{PRODUCT}/changes", json={"difference": 1}, headers={"idempotency-key": "a"}),
    ]:
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "database" not in answer.text


async def test_a_list_is_read_a_page_at_a_time_newest_first(client: httpx.AsyncClient, inventory: Inventory) -> None:
    products = [UUID(int=number) for number in range(7)]
    for product_id in products:
        await inventory.stock(product_id, 1)
    seen, path = [], "/inventory?limit=3"
    sizes = []
    while path:
        answer = await client.get(path)
        sizes.append(len(answer.json()))
        seen += [UUID(item["product_id"]) for item in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert (sizes, seen) == ([3, 3, 1], products[::-1])


@pytest.mark.parametrize(("number", "pages"), [(0, 1), (50, 1), (51, 2)])
async def test_a_page_has_fifty_and_the_last_one_no_next(
    client: httpx.AsyncClient, inventory: Inventory, number: int, pages: int
) -> None:
    for product in range(number):
        await inventory.stock(UUID(int=product), 1)
    answer = await client.get("/inventory")
    assert len(answer.json()) == min(number, 50)
    assert ("next" in answer.links) is (pages == 2)


async def test_no_text_is_taken_that_can_t_be_stored(client: httpx.AsyncClient) -> None:
    assert {
        "put /inventory/{product_id} *",
        "put /inventory/{product_id} product_id",
        "post /inventory/{product_id}/changes Idempotency-Key",
        "get /inventory/{product_id} product_id",
        "get /inventory cursor",
    } <= await places_that_refuse_unstorable_text(client)
