"""What a shop sends, and what every refusal looks like."""

from typing import Any
from uuid import uuid4

import httpx
from chassis.ports.tracing import trace_id

from tests.builders import TRACEPARENT

PRODUCT = "9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01"


def order_body(*, price: float | str = 19.99, quantity: int = 2, customer_id: str | None = None) -> dict[str, Any]:
    items = [{"product_id": PRODUCT, "quantity": quantity, "price": price}]
    return {"customer_id": customer_id or str(uuid4()), "items": items}


async def place(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    """An accepted order, as the service answered it."""
    answer = await client.post("/orders", json=order_body(**changes))
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


def assert_problem(answer: httpx.Response, status: int, slug: str, *, trace: str | None = None) -> dict[str, Any]:
    """RFC 9457, with the trace under which the request is logged; returns the problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.request.url.path
    assert len(problem["trace_id"]) == 32
    assert trace is None or problem["trace_id"] == trace
    return problem


TRACED = {"traceparent": TRACEPARENT}
TRACE = trace_id(TRACEPARENT)
