"""What bad requests get: a problem that says what is wrong, never a 500, and nothing of our insides."""

from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from chassis.ports.errors import Unavailable
from chassis.testing.text import places_that_refuse_unstorable_text

from infrastructure.unit_of_work import PostgresOrders
from tests.running import OrderUnits
from tests.shop import PRODUCT, TRACE, TRACED, assert_problem, order_body

JSON = {"content-type": "application/json"}
GOOD = orjson.dumps(order_body())


def with_item(**changes: Any) -> bytes:
    body = order_body()
    body["items"][0] |= changes
    return orjson.dumps(body)


def raw_item(field: str, literal: bytes) -> bytes:
    """An order in which a field of its item is written as given: orjson would not write most of these."""
    return with_item(**{field: "HERE"}).replace(b'"HERE"', literal)


MALFORMED = {
    "nothing": b"",
    "text": b"hello",
    "cut off": GOOD[:-1],
    "two values": GOOD + GOOD,
    "not UTF-8": GOOD.replace(b"customer_id", b"customer_\xff"),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "raw null character": GOOD.replace(b"customer_id", b"customer\x00id"),
    "raw lone surrogate": GOOD.replace(b"customer_id", b"\xed\xa0\x80"),
    "escaped lone surrogate, cut off": GOOD.replace(b"customer_id", b"\\ud800")[:-1],
    "deep arrays": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"items":' * 6_000 + b"1" + b"}" * 6_000,
    "number of 5,000 digits": raw_item("quantity", b"9" * 5_000),
    "trailing comma": GOOD[:-1] + b",}",
    "single quotes": GOOD.replace(b'"', b"'"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_not_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/orders", content=body, headers=JSON | TRACED)
    assert_problem(answer, 400, "malformed-json", trace=TRACE)


INVALID = {
    "null": (b"null", "body"),
    "an array": (b"[]", "body"),
    "a string": (b'"order"', "body"),
    "no customer": (b'{"items":[{"product_id":"%s","quantity":1,"price":1}]}' % PRODUCT.encode(), "customer_id"),
    "customer null": (GOOD.replace(orjson.loads(GOOD)["customer_id"].encode(), b""), "customer_id"),
    "lone surrogate": (GOOD.replace(b"customer_id", b"\\ud800"), "\\ud800"),
    "lone surrogate in a value": (raw_item("product_id", b'"\\udc00"'), "items.0.product_id"),
    "null character": (GOOD.replace(orjson.loads(GOOD)["customer_id"].encode(), b"\\u0000"), "customer_id"),
    "no items": (orjson.dumps(order_body() | {"items": []}), "items"),
    "101 items": (orjson.dumps(order_body() | {"items": order_body()["items"] * 101}), "items"),
    "items no list": (orjson.dumps(order_body() | {"items": {}}), "items"),
    "nested items": (orjson.dumps(order_body() | {"items": [[[]]]}), "items.0"),
    "unknown field": (orjson.dumps(order_body() | {"currency": "EUR"}), "currency"),
    "unknown field with a null character": (orjson.dumps(order_body() | {"a\x00b": 1}), "a\x00b"),
    "unknown field of an item": (with_item(name="a book"), "items.0.name"),
    "status given by the caller": (orjson.dumps(order_body() | {"status": "completed"}), "status"),
    "product no UUID": (with_item(product_id="1"), "items.0.product_id"),
    "quantity 0": (with_item(quantity=0), "items.0.quantity"),
    "quantity -1": (with_item(quantity=-1), "items.0.quantity"),
    "quantity 10,001": (with_item(quantity=10_001), "items.0.quantity"),
    "quantity 1.5": (with_item(quantity=1.5), "items.0.quantity"),
    "quantity a hair over 1": (raw_item("quantity", b"1.0000000000000000001"), "items.0.quantity"),
    "quantity 1e400": (raw_item("quantity", b"1e400"), "items.0.quantity"),
    "quantity of 400 digits": (raw_item("quantity", b"9" * 400), "items.0.quantity"),
    "quantity NaN": (raw_item("quantity", b"NaN"), "items.0.quantity"),
    "price 0": (with_item(price=0), "items.0.price"),
    "price -1": (with_item(price=-1), "items.0.price"),
    "price a hair over 19.99": (raw_item("price", b"19.990000000000000001"), "items.0.price"),
    "price a hair over 1e2": (raw_item("price", b"1.00000000000000001e2"), "items.0.price"),
    "price '0.00'": (with_item(price="0.00"), "items.0.price"),
    "price of three decimals": (with_item(price=0.001), "items.0.price"),
    "price of eleven digits": (with_item(price=10_000_000_000), "items.0.price"),
    "price true": (with_item(price=True), "items.0.price"),
    "price null": (with_item(price=None), "items.0.price"),
    "price empty": (with_item(price=""), "items.0.price"),
    "price NaN": (raw_item("price", b"NaN"), "items.0.price"),
    "price 'NaN'": (with_item(price="NaN"), "items.0.price"),
    "price 'sNaN'": (with_item(price="sNaN"), "items.0.price"),
    "price Infinity": (raw_item("price", b"Infinity"), "items.0.price"),
    "price 1e400": (raw_item("price", b"1e400"), "items.0.price"),
    "price '1E+999999999'": (with_item(price="1E+999999999"), "items.0.price"),
    "price '1E-999999999'": (with_item(price="1E-999999999"), "items.0.price"),
    "price 1e-400": (raw_item("price", b"1e-400"), "items.0.price"),
    "total beyond NUMERIC(12,2)": (with_item(price=9999999999.99, quantity=2), "body"),
    "largest total of all": (
        orjson.dumps(order_body() | {"items": order_body(price=9999999999.99, quantity=10_000)["items"] * 100}),
        "body",
    ),
    "last of two customers counts": (GOOD[:-1] + b',"customer_id":"x"}', "customer_id"),
}


@pytest.mark.parametrize(("body", "path"), INVALID.values(), ids=INVALID)
async def test_a_body_that_is_no_order_is_a_422_that_names_the_field(
    client: httpx.AsyncClient, units: OrderUnits, body: bytes, path: str
) -> None:
    answer = await client.post("/orders", content=body, headers=JSON | TRACED)
    problem = assert_problem(answer, 422, "validation-error", trace=TRACE)
    assert path in {error["path"] for error in problem["errors"]}
    assert all(error["message"] for error in problem["errors"])
    assert units.events == []


async def test_of_two_values_of_one_field_the_last_counts(client: httpx.AsyncClient) -> None:
    customer = str(uuid4())
    body = GOOD[:-1] + b',"customer_id":"%s"}' % customer.encode()
    answer = await client.post("/orders", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["customer_id"]) == (201, customer)


async def test_a_quantity_with_a_point_and_nothing_after_it_is_an_integer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders", content=raw_item("quantity", b"2.0"), headers=JSON)
    assert (answer.status_code, answer.json()["items"][0]["quantity"]) == (201, 2)


async def test_all_that_is_wrong_is_said_at_once(client: httpx.AsyncClient) -> None:
    body = {"customer_id": "1", "items": [{"quantity": 0, "price": "x", "colour": "red"}], "no_field": ""}
    problem = assert_problem(await client.post("/orders", json=body), 422, "validation-error")
    assert {error["path"] for error in problem["errors"]} == {
        "customer_id",
        "items.0.product_id",
        "items.0.quantity",
        "items.0.price",
        "items.0.colour",
        "no_field",
    }


async def test_a_refusal_of_many_fields_stays_small(client: httpx.AsyncClient) -> None:
    body = orjson.dumps({str(number): 0 for number in range(7_000)})
    answer = await client.post("/orders", content=body, headers=JSON)
    problem = assert_problem(answer, 422, "validation-error")
    assert len(problem["errors"]) == 100


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_another_content_type_is_a_415(client: httpx.AsyncClient, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert_problem(await client.post("/orders", content=GOOD, headers=headers), 415, "unsupported-media-type")


@pytest.mark.parametrize("chunked", [True, False], ids=["in chunks", "at once"])
async def test_a_body_over_64_kib_is_a_413(client: httpx.AsyncClient, chunked: bool) -> None:
    async def chunks() -> Any:
        for _ in range(66):
            yield b" " * 1024

    body = chunks() if chunked else GOOD + b" " * 65_536
    assert_problem(await client.post("/orders", content=body, headers=JSON), 413, "content-too-large")


async def test_a_body_of_64_kib_is_taken(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders", content=GOOD.ljust(65_536), headers=JSON)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "key", [b"", b"a" * 256, b"two words", b"tab\t", b"null\x00", b"\x7f", "clé".encode(), b"\xff"]
)
async def test_a_key_beyond_255_visible_ascii_characters_is_refused(
    client: httpx.AsyncClient, units: OrderUnits, key: bytes
) -> None:
    answer = await client.post(
        "/orders", content=GOOD, headers={b"content-type": b"application/json", b"idempotency-key": key}
    )
    assert_problem(answer, 422, "invalid-idempotency-key")
    assert units.events == []


async def test_a_key_of_255_characters_is_taken(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders", content=GOOD, headers=JSON | {"idempotency-key": "~" * 255})
    assert answer.status_code == 201


@pytest.mark.parametrize("path", ["/orders/1", "/orders/%00", "/orders/1/timeline", "/orders/customer/me"])
async def test_an_id_that_is_no_uuid_is_a_422(client: httpx.AsyncClient, path: str) -> None:
    problem = assert_problem(await client.get(path), 422, "validation-error")
    assert problem["errors"][0]["path"] in ("order_id", "customer_id")


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=-1", "limit=x", f"limit={'9' * 5000}", "limit=%00"])
async def test_a_limit_beyond_1_to_200_is_a_422(client: httpx.AsyncClient, query: str) -> None:
    problem = assert_problem(await client.get(f"/orders/customer/{uuid4()}?{query}"), 422, "validation-error")
    assert problem["errors"][0]["path"] == "limit"


@pytest.mark.parametrize("cursor", ["x", "1", "%00", "%ff", "'; DROP TABLE orders", "", "0198c5f0-7d2a-7cc3-a1b4"])
async def test_a_cursor_that_is_no_id_is_a_422(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get(f"/orders/customer/{uuid4()}?cursor={cursor}")
    assert assert_problem(answer, 422, "validation-error")["errors"][0]["path"] == "cursor"


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/order", 404, "not-found"),
        ("PUT", "/orders", 405, "method-not-allowed"),
        ("PUT", f"/orders/{PRODUCT}", 405, "method-not-allowed"),
        ("PATCH", f"/orders/{PRODUCT}", 405, "method-not-allowed"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(
    client: httpx.AsyncClient, method: str, path: str, status: int, slug: str
) -> None:
    assert_problem(await client.request(method, path, headers=TRACED), status, slug, trace=TRACE)


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (Unavailable("the database did not answer: connection refused by 10.0.0.7"), 503, "unavailable"),
        (ConnectionRefusedError("connection refused by 10.0.0.7"), 503, "unavailable"),
        (RuntimeError("SELECT secret FROM orders"), 500, "internal-error"),
    ],
)
async def test_a_failure_tells_nothing_of_our_insides(
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    slug: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(PostgresOrders, "add", fail)
    answer = await client.post("/orders", content=GOOD, headers=JSON | TRACED)

    problem = assert_problem(answer, status, slug, trace=TRACE)
    assert answer.headers.get("Retry-After") == ("2" if status == 503 else None)
    assert "10.0.0.7" not in answer.text
    assert "SELECT" not in answer.text
    assert "Traceback" not in problem["detail"]


async def test_no_text_is_taken_that_can_t_be_stored(client: httpx.AsyncClient) -> None:
    assert {
        "post /orders Idempotency-Key",
        "post /orders customer_id",
        "post /orders items.0.product_id",
        "post /orders items.0.price",
        "post /orders *",
        "get /orders/{order_id} order_id",
        "get /orders/customer/{customer_id} cursor",
    } <= await places_that_refuse_unstorable_text(client)
