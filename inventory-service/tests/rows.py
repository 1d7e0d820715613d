"""A row of each table as the database keeps it, written by hand and not by the repositories."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from chassis.testing.tables import an_inbox_row, an_outbox_row

from domain.item import CHANGE_KEPT
from domain.reservation import Status
from tests.messages import TRACEPARENT


def a_reservation_row(status: Status = Status.HELD, at: datetime | None = None) -> dict[str, Any]:
    """`at`: every time in the row."""
    now = at or datetime.now(UTC)
    demand = {
        "items": [{"product_id": uuid4(), "quantity": 2, "price": "19.99"}],
        "total_amount": "39.98",
        "currency": "USD",
    }
    return {
        "order_id": uuid4(),
        "customer_id": uuid4(),
        "status": status,
        **({} if status is Status.VOID else demand),
        "expires_at": now,
        "due_at": now,
        "traceparent": TRACEPARENT,
        "created_at": now,
        "updated_at": now,
    }


def an_item_row(at: datetime | None = None) -> dict[str, Any]:
    now = at or datetime.now(UTC)
    return {
        "id": uuid4(),
        "product_id": uuid4(),
        "quantity_available": 0,
        "reserved_quantity": 0,
        "created_at": now,
        "updated_at": now,
    }


def a_change_row(at: datetime | None = None) -> dict[str, Any]:
    now = at or datetime.now(UTC)
    return {
        "id": uuid4(),
        "product_id": uuid4(),
        "difference": 10,
        "quantity_available": 10,
        "created_at": now,
        "due_at": now + CHANGE_KEPT,
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
    "inventory_items": an_item_row,
    "reservations": a_reservation_row,
    "stock_changes": a_change_row,
    "idempotency_keys": a_key_row,
    "inbox": an_inbox_row,
    "outbox": an_outbox_row,
}
