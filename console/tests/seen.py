"""Events as they come from the broker, and services that only pretend."""

import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx

from application.events import Event, publisher, read

ORDER = "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001"
CUSTOMER = "5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11"
PRODUCT = "9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01"
_numbers = itertools.count(1)


def document(name: str, order_id: str = ORDER, *, second: float = 0.0, **data: Any) -> dict[str, Any]:
    """The CloudEvents document of an event that was said so many seconds after noon."""
    return {
        "specversion": "1.0",
        "id": str(UUID(int=next(_numbers))),
        "type": name,
        "source": publisher(name),
        "subject": order_id,
        "time": f"2026-11-24T12:00:{second:09.6f}Z",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "data": {"order_id": order_id, "customer_id": CUSTOMER, **data},
    }


def event(name: str, order_id: str = ORDER, *, second: float = 0.0, **data: Any) -> Event:
    found = read(document(name, order_id, second=second, **data))
    assert found is not None
    return found


def order(status: str = "pending", order_id: str = ORDER, reason: str | None = None) -> dict[str, Any]:
    """An order as the order service answers."""
    return {
        "id": order_id,
        "customer_id": CUSTOMER,
        "items": [{"product_id": PRODUCT, "quantity": 2, "price": 19.99}],
        "total_amount": 39.98,
        "currency": "USD",
        "status": status,
        "reason": reason,
        "shortages": [],
        "expires_at": "2026-11-24T12:15:00Z",
        "created_at": "2026-11-24T12:00:00Z",
        "updated_at": "2026-11-24T12:00:01Z",
    }


def problem(status: int, slug: str, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"type": f"/problems/{slug}", "detail": detail, "status": status})


class Pretended:
    """The four services: `answers` has what they say, by method and path; one in `away` doesn't answer."""

    def __init__(self) -> None:
        self.answers: dict[str, httpx.Response | Callable[[httpx.Request], httpx.Response]] = {}
        self.away: set[str] = set()
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.host}{request.url.raw_path.decode()}")
        if request.url.host in self.away:
            raise httpx.ConnectError("refused", request=request)
        answer = self.answers.get(f"{request.method} {request.url.path}")
        if answer is None:
            return problem(404, "not-found", "There is no such thing.")
        return answer(request) if callable(answer) else answer

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self))
