"""The bodies of requests and answers."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from chassis.http.requests import INTEGRAL, JsonNumber, Price, RequestModel
from chassis.ports.tracing import trace_id
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.config import JsonDict

from domain.order import MAX_TOTAL

PRODUCT = "9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01"
CUSTOMER = "5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11"
_ITEM: JsonDict = {"product_id": PRODUCT, "quantity": 2, "price": 19.99}
_ORDER: JsonDict = {
    "id": "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001",
    "customer_id": CUSTOMER,
    "items": [_ITEM],
    "total_amount": 39.98,
    "currency": "USD",
    "status": "failed",
    "reason": "out-of-stock",
    "expires_at": "2026-11-24T12:15:00Z",
    "created_at": "2026-11-24T12:00:00Z",
    "updated_at": "2026-11-24T12:00:01Z",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}
IDEMPOTENCY_KEY: JsonDict = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "1 to 255 visible ASCII characters, kept for 24 hours: the same request again is safe.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


class Item(RequestModel):
    product_id: UUID
    quantity: Annotated[int, Field(strict=True, ge=1, le=10_000), INTEGRAL]
    price: Price


class PlaceOrderRequest(RequestModel):
    model_config = ConfigDict(json_schema_extra={"example": {"customer_id": CUSTOMER, "items": [_ITEM]}})

    customer_id: UUID
    items: Annotated[list[Item], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def total_fits(self) -> Self:
        if sum(item.price * item.quantity for item in self.items) > MAX_TOTAL:
            raise ValueError(f"the total of the items may be {MAX_TOTAL} at most")
        return self


class ItemResponse(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    product_id: UUID
    quantity: int
    price: JsonNumber


class OrderResponse(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _ORDER})

    id: UUID
    customer_id: UUID
    items: list[ItemResponse]
    total_amount: JsonNumber
    currency: str
    status: str
    reason: str | None
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    trace_id: Annotated[str, BeforeValidator(trace_id), Field(validation_alias="traceparent")]


class TimelineEntryResponse(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    at: datetime
    event: str
    status: str
    reason: str | None
    by: str | None = None


TIMELINE = TypeAdapter(list[TimelineEntryResponse])
