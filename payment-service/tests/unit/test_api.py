import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from types import ModuleType
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.ports.errors import Unavailable
from chassis.ports.ids import uuid7
from chassis.testing.text import places_that_refuse_unstorable_text

from application.messages import InventoryReserved
from domain.payment import Payment
from tests.messages import reserved, undone
from tests.till import Till


def assert_problem(answer: httpx.Response, status: int, slug: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"/problems/{slug}", status)
    assert problem["instance"] == answer.request.url.path
    assert re.fullmatch("[0-9a-f]{32}", problem["trace_id"])
    assert problem["title"]
    assert problem["detail"]


async def retried(till: Till) -> Payment:
    """A payment that is completed at its second attempt."""
    order = reserved()
    await till.take(order)
    till.pass_time_until_due(order.order_id)
    await till.charge()
    return till.payment(order.order_id)


async def test_a_payment_is_found_by_its_id_and_by_its_order(till: Till, client: httpx.AsyncClient) -> None:
    payment = await retried(till)
    by_id = await client.get(f"/payments/{payment.id}")
    by_order = await client.get(f"/payments/order/{payment.order_id}")
    assert (by_id.status_code, by_id.headers["content-type"]) == (200, "application/json")
    assert by_id.json() == by_order.json()
    assert by_id.json() == {
        "id": str(payment.id),
        "order_id": str(payment.order_id),
        "customer_id": str(payment.customer_id),
        "amount": 39.98,
        "currency": "USD",
        "status": "completed",
        "attempts": 2,
        "reason": None,
        "created_at": payment.created_at.isoformat().replace("+00:00", "Z"),
        "updated_at": payment.updated_at.isoformat().replace("+00:00", "Z"),
    }


@pytest.mark.parametrize("amount", ["39.98", "0.01", "5.00", "9999999999.99"])
async def test_money_is_a_json_number(till: Till, client: httpx.AsyncClient, amount: str) -> None:
    order = reserved()
    await till.take(InventoryReserved(order.order_id, order.customer_id, Decimal(amount), "USD", order.expires_at))
    text = (await client.get(f"/payments/order/{order.order_id}")).text
    [number] = re.findall(r'"amount":([0-9.]+),', text)
    assert Decimal(number) == Decimal(amount)


async def test_a_payment_that_went_wrong_says_why(till: Till, client: httpx.AsyncClient) -> None:
    order = reserved()
    await till.take(order)
    await till.take(undone(order, "expired"))
    shown = (await client.get(f"/payments/order/{order.order_id}")).json()
    assert (shown["status"], shown["reason"], shown["attempts"]) == ("cancelled", "expired", 1)


async def test_a_tombstone_is_seen_by_no_request(till: Till, client: httpx.AsyncClient) -> None:
    order = reserved()
    await till.take(undone(order))
    tombstone = till.payment(order.order_id)
    assert tombstone.status == "void"
    assert_problem(await client.get(f"/payments/order/{order.order_id}"), 404, "payment-not-found")
    assert_problem(await client.get(f"/payments/{tombstone.id}"), 404, "payment-not-found")


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", f"/payments/{uuid4()}", 404, "payment-not-found"),
        ("GET", f"/payments/order/{uuid4()}", 404, "payment-not-found"),
        ("GET", "/payments/not-a-uuid", 422, "validation-error"),
        ("GET", "/payments/order/%00", 422, "validation-error"),
        ("GET", "/payments/order", 422, "validation-error"),
        ("POST", f"/payments/{uuid4()}", 405, "method-not-allowed"),
        ("GET", "/payment", 404, "not-found"),
    ],
)
async def test_a_request_that_finds_nothing_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, slug: str
) -> None:
    assert_problem(await client.request(method, path), status, slug)


async def test_an_outage_is_answered_with_when_to_come_again(
    main: ModuleType, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        @asynccontextmanager
        async def autocommit(self) -> AsyncIterator[None]:
            raise Unavailable("the database is away")
            yield

    monkeypatch.setattr(main.service, "database", Away())
    for path in (f"/payments/{UUID(int=1)}", f"/payments/order/{UUID(int=1)}"):
        answer = await client.get(path)
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "database" not in answer.text


async def test_staff_list_payments_in_a_status_page_by_page(till: Till, client: httpx.AsyncClient) -> None:
    completed = await retried(till)
    refunded = [reserved(order_id=uuid7()) for _ in range(3)]
    for order in refunded:
        await till.take(order)
        await till.take(undone(order))
    newest_first = sorted((str(till.payment(order.order_id).id) for order in refunded), reverse=True)
    first = await client.get("/payments", params={"status": "refunded", "limit": 2})
    rest = await client.get(first.links["next"]["url"])
    assert [payment["id"] for payment in first.json()] == newest_first[:2]
    assert [payment["id"] for payment in rest.json()] == newest_first[2:]
    assert "next" not in rest.links
    assert str(completed.order_id) in {payment["order_id"] for payment in (await client.get("/payments")).json()}


@pytest.mark.parametrize("asked", ["status=void", "status=new", "status=lost", "limit=0", "cursor=first"])
async def test_a_list_of_what_there_can_not_be_is_refused(client: httpx.AsyncClient, asked: str) -> None:
    assert_problem(await client.get(f"/payments?{asked}"), 422, "validation-error")


async def test_no_text_is_taken_that_can_t_be_stored(client: httpx.AsyncClient) -> None:
    assert {
        "get /payments/{payment_id} payment_id",
        "get /payments/order/{order_id} order_id",
    } <= await places_that_refuse_unstorable_text(client)
