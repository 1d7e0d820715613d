"""The bodies of answers."""

from datetime import datetime
from uuid import UUID

from chassis.http.requests import JsonNumber
from pydantic import BaseModel, ConfigDict
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


class PaymentResponse(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _PAYMENT})

    id: UUID
    order_id: UUID
    customer_id: UUID
    amount: JsonNumber
    currency: str
    status: str
    attempts: int
    reason: str | None
    created_at: datetime
    updated_at: datetime
