"""The bodies of answers."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from chassis.http.requests import JsonNumber, ResponseModel
from pydantic import ConfigDict
from pydantic.config import JsonDict

_PAYMENT: JsonDict = {
    "id": "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be003",
    "order_id": "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001",
    "customer_id": "5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11",
    "amount": 39.98,
    "currency": "USD",
    "status": "failed",
    "attempts": 1,
    "reason": "payment-declined",
    "created_at": "2026-11-24T12:00:00Z",
    "updated_at": "2026-11-24T12:00:01Z",
}


VisibleStatus = Literal["pending", "processing", "completed", "failed", "cancelled", "refunding", "refunded"]
"""All but those of payments that nobody sees: not opened, or never to be."""


class PaymentResponse(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"example": _PAYMENT})

    id: UUID
    """The payment."""
    order_id: UUID
    """The order that it pays."""
    customer_id: UUID
    """Who pays."""
    amount: JsonNumber
    """What is charged: the order's total."""
    currency: str
    """As ISO 4217 names it."""
    status: VisibleStatus
    """`pending` while it waits for its next try, `processing` while the gateway is asked, then `completed` or `failed`.
    If the order is undone: `cancelled` when nothing was charged, else `refunding` and then `refunded`."""
    attempts: int
    """How often the gateway was asked for the charge."""
    reason: str | None
    """Why it failed or was undone: a stable slug, such as `payment-declined`; docs/events.md has all."""
    created_at: datetime
    """When the charge was asked for."""
    updated_at: datetime
    """When its status changed last."""
