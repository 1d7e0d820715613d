"""A row of each table as the database keeps it, written by hand and not by the repositories."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from chassis.testing.tables import an_inbox_row, an_outbox_row

from domain.payment import Status
from tests.messages import TRACEPARENT


def a_payment_row(status: Status = Status.PENDING, at: datetime | None = None) -> dict[str, Any]:
    """`at`: all the times that it bears."""
    now = at or datetime.now(UTC)
    return {
        "id": uuid4(),
        "order_id": uuid4(),
        "customer_id": uuid4(),
        **({} if status is Status.VOID else {"amount": "39.98", "currency": "USD"}),
        "status": status,
        "due_at": now,
        "expires_at": now,
        "traceparent": TRACEPARENT,
        "created_at": now,
        "updated_at": now,
    }


ROWS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "payments": a_payment_row,
    "inbox": an_inbox_row,
    "outbox": an_outbox_row,
}
