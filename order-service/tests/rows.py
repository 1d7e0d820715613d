"""A row of each table as the database keeps it, written by hand and not by the repositories."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from chassis.testing.tables import an_inbox_row, an_outbox_row

from domain.order import FINAL, Status
from tests.builders import TRACEPARENT


def an_order_row(status: Status = Status.PENDING, at: datetime | None = None) -> dict[str, Any]:
    """`at`: all the times that it bears."""
    now = at or datetime.now(UTC)
    return {
        "id": uuid4(),
        "customer_id": uuid4(),
        "items": [{"product_id": uuid4(), "quantity": 2, "price": "19.99"}],
        "total_amount": "39.98",
        "currency": "USD",
        "status": status,
        "timeline": [],
        "expires_at": at or now + timedelta(minutes=15),
        "due_at": None if status in FINAL else at or now + timedelta(minutes=15),
        "created_at": now,
        "updated_at": now,
        "traceparent": TRACEPARENT,
    }


def a_key_row(at: datetime | None = None) -> dict[str, Any]:
    return {
        "caller": str(uuid4()),
        "key": str(uuid4()),
        "request_fingerprint": "\\x00",
        "resource_id": uuid4(),
        "created_at": at or datetime.now(UTC),
    }


ROWS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "orders": an_order_row,
    "idempotency_keys": a_key_row,
    "inbox": an_inbox_row,
    "outbox": an_outbox_row,
}
