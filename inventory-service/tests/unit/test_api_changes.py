"""Stock that is changed by a difference, or set on a condition, over HTTP."""

from itertools import count
from uuid import UUID, uuid4

import httpx
import pytest

from tests.inventory import Inventory
from tests.messages import order_created
from tests.unit.test_api import JSON, assert_problem

PRODUCT = UUID(int=1)
CHANGES = f"/inventory/{PRODUCT}/changes"


def key(name: str = "delivery-7") -> dict[str, str]:
    return {"idempotency-key": name}


async def test_a_change_is_answered_with_what_it_came_to_and_a_repetition_with_the_same(
    client: httpx.AsyncClient, inventory: Inventory
) -> None:
    await inventory.stock(PRODUCT, 5)
    first = await client.post(CHANGES, json={"difference": 10}, headers=key())
    await inventory.take(order_created((PRODUCT, 3)))
    again = await client.post(CHANGES, json={"difference": 10.0}, headers=key())
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert set(first.json()) == {"id", "product_id", "difference", "quantity_available", "created_at"}
    assert (first.json()["product_id"], first.json()["difference"]) == (str(PRODUCT), 10)
    assert first.json()["quantity_available"] == 15
    assert inventory.quantities(PRODUCT) == (12, 3)


async def test_a_key_that_came_with_another_change_is_refused(client: httpx.AsyncClient, inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 5)
    await client.post(CHANGES, json={"difference": 10}, headers=key())
    other = await client.post(CHANGES, json={"difference": 11}, headers=key())
    assert "Idempotency-Key" in assert_problem(other, 422, "idempotency-key-reused")["detail"]


@pytest.mark.parametrize("given", [None, "", "two words", "a" * 256, "caf\u00e9"])
async def test_a_change_without_a_key_or_with_none_that_can_be_kept_is_refused(
    client: httpx.AsyncClient, inventory: Inventory, given: str | None
) -> None:
    await inventory.stock(PRODUCT, 5)
    headers = [] if given is None else [(b"idempotency-key", given.encode())]
    answer = await client.post(CHANGES, json={"difference": 1}, headers=headers)
    assert_problem(answer, 422, "invalid-idempotency-key")
    assert inventory.quantities(PRODUCT) == (5, 0)


async def test_more_than_there_is_can_not_be_taken(client: httpx.AsyncClient, inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 5)
    refused = await client.post(CHANGES, json={"difference": -6}, headers=key())
    assert "Only 5 can be ordered" in assert_problem(refused, 409, "stock-out-of-bounds")["detail"]
    much = await client.post(CHANGES, json={"difference": 1_000_000_000}, headers=key())
    assert "1000000000" in assert_problem(much, 409, "stock-out-of-bounds")["detail"]
    assert inventory.quantities(PRODUCT) == (5, 0)


async def test_stock_that_nobody_has_set_can_not_be_changed(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/inventory/{uuid4()}/changes", json={"difference": 1}, headers=key())
    assert_problem(answer, 404, "item-not-found")


@pytest.mark.parametrize(
    ("body", "status", "slug", "path"),
    [
        (b'{"difference": 0}', 422, "validation-error", "difference"),
        (b'{"difference": 1000000001}', 422, "validation-error", "difference"),
        (b'{"difference": -1000000001}', 422, "validation-error", "difference"),
        (b'{"difference": 1.5}', 422, "validation-error", "difference"),
        (b'{"difference": "1"}', 422, "validation-error", "difference"),
        (b'{"difference": true}', 422, "validation-error", "difference"),
        (b'{"difference": null}', 422, "validation-error", "difference"),
        (b'{"difference": 1, "price": 1}', 422, "validation-error", "price"),
        (b"{}", 422, "validation-error", "difference"),
        (b"", 400, "malformed-json", None),
        (b'{"difference": "%s"}' % (b"9" * 70_000), 413, "content-too-large", None),
    ],
    ids=count(),
)
async def test_a_body_that_is_no_change_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int, slug: str, path: str | None
) -> None:
    problem = assert_problem(await client.post(CHANGES, content=body, headers={**JSON, **key()}), status, slug)
    assert [error["path"] for error in problem.get("errors", [])] == ([path] if path else [])


async def test_an_etag_changes_when_people_set_or_change_the_stock_and_not_with_orders(
    client: httpx.AsyncClient, inventory: Inventory
) -> None:
    path = f"/inventory/{PRODUCT}"
    tags = [(await client.put(path, json={"quantity_available": 10})).headers["etag"]]
    order = order_created((PRODUCT, 3))
    await inventory.take(order)
    assert (await client.get(path)).headers["etag"] == tags[0]
    tags.append((await client.put(path, json={"quantity_available": 10})).headers["etag"])
    await client.post(CHANGES, json={"difference": 1}, headers=key())
    tags.append((await client.get(path)).headers["etag"])
    assert len(set(tags)) == 3


@pytest.mark.parametrize("name", ["if-match", "if-none-match"])
@pytest.mark.parametrize(
    ("given", "matches"),
    [
        (['"2"'], True),
        (["*"], True),
        (['"1", "2"'], True),
        (['"1"', '"2"'], True),
        (['"2" ,"7"'], True),
        (['"1"'], False),
        (['W/"2"'], False),  # compared as strongly as RFC 9110 wants it
        (['"two"', '"another\'s"'], False),
        (['"0"'], False),
    ],
)
async def test_stock_is_set_only_if_its_condition_holds(
    client: httpx.AsyncClient, inventory: Inventory, name: str, given: list[str], matches: bool
) -> None:
    for quantity in (4, 5):
        await inventory.stock(PRODUCT, quantity)
    lines = [(name, line) for line in given]
    answer = await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 9}, headers=lines)
    if matches is (name == "if-match"):
        assert (answer.status_code, answer.headers["etag"]) == (200, '"3"')
        assert inventory.quantities(PRODUCT) == (9, 0)
    else:
        assert "Read it again" in assert_problem(answer, 412, "precondition-failed")["detail"]
        assert inventory.quantities(PRODUCT) == (5, 0)


@pytest.mark.parametrize("given", ["2", "", '"2', '"2" "3"', '*, "2"', "'2'", "2, 3"])
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
async def test_a_condition_that_is_no_etag_is_refused_and_not_taken_for_one_that_fails(
    client: httpx.AsyncClient, inventory: Inventory, name: str, given: str
) -> None:
    await inventory.stock(PRODUCT, 5)
    headers = {name: given}
    answer = await client.put(f"/inventory/{PRODUCT}", json={"quantity_available": 9}, headers=headers)
    assert [error["path"] for error in assert_problem(answer, 422, "validation-error")["errors"]] == [name]
    assert inventory.quantities(PRODUCT) == (5, 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"if-none-match": "*"}, 201), ({"if-match": "*"}, 412), ({"if-match": '"0"'}, 412), ({"if-match": '"1"'}, 412)],
)
async def test_a_product_that_has_no_stock_matches_nothing(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    path = f"/inventory/{PRODUCT}"
    assert (await client.put(path, json={"quantity_available": 9}, headers=headers)).status_code == status
    assert (await client.get(path)).status_code == (200 if status == 201 else 404)
