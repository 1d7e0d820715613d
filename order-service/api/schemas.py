"""The bodies of requests and answers."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from chassis.http.requests import INTEGRAL, JsonNumber, Price, RequestModel, ResponseModel
from chassis.ports.tracing import trace_id
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.config import JsonDict

from domain.order import MAX_TOTAL, Status

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
    "shortages": [{"product_id": PRODUCT, "missing": 2}],
    "expires_at": "2026-11-24T12:15:00Z",
    "created_at": "2026-11-24T12:00:00Z",
    "updated_at": "2026-11-24T12:00:01Z",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}


_TIMELINE: JsonDict = {
    "at": "2026-11-24T12:00:01Z",
    "event": "OrderCancelled",
    "status": "cancelled",
    "reason": "cancelled-by-customer",
    "by": "5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11",
}


class Item(RequestModel):
    product_id: UUID
    """What is ordered."""
    quantity: Annotated[int, Field(strict=True, ge=1, le=10_000), INTEGRAL]
    """How many pieces."""
    price: Price


class PlaceOrderRequest(RequestModel):
    model_config = ConfigDict(json_schema_extra={"example": {"customer_id": CUSTOMER, "items": [_ITEM]}})

    customer_id: UUID
    """Who orders. A customer's own id; staff and services order for anybody."""
    items: Annotated[list[Item], Field(min_length=1, max_length=100)]
    """The order's lines; a product may be on several."""

    @model_validator(mode="after")
    def total_fits(self) -> Self:
        if sum(item.price * item.quantity for item in self.items) > MAX_TOTAL:
            raise ValueError(f"the total of the items may be {MAX_TOTAL} at most")
        return self


class ItemResponse(ResponseModel):
    product_id: UUID
    """What is ordered."""
    quantity: int
    """How many pieces."""
    price: JsonNumber
    """Of one piece."""


class ShortageResponse(ResponseModel):
    product_id: UUID
    """What there was too little of."""
    missing: int
    """How many pieces more the order asked for than there were."""


class OrderResponse(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"example": _ORDER})

    id: UUID
    """The order."""
    customer_id: UUID
    """Whose order it is."""
    items: list[ItemResponse]
    """The lines, as they were placed."""
    total_amount: JsonNumber
    """The sum of the lines."""
    currency: str
    """Of all prices, as ISO 4217 names it."""
    status: Status
    """`pending` until its stock is reserved, `confirmed` until it is paid, then `completed`; `failed` and `cancelled`
    are final too, and whatever was held or taken for the order is given back."""
    reason: str | None
    """Why it failed or was cancelled: a stable slug, such as `out-of-stock`; docs/events.md has all."""
    shortages: list[ShortageResponse]
    """If the reason is `out-of-stock`: what was missing when the order failed."""
    expires_at: datetime
    """When it fails unless it is decided before."""
    created_at: datetime
    """When it was placed."""
    updated_at: datetime
    """When its status changed last."""
    trace_id: Annotated[str, BeforeValidator(trace_id), Field(validation_alias="traceparent")]
    """The trace of everything that happens to it."""


class TimelineEntryResponse(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"example": _TIMELINE})

    at: datetime
    """When the order service wrote it down."""
    event: str
    """What happened, by the name of its event; docs/events.md has all."""
    status: Status
    """The order's status from then on."""
    reason: str | None
    """Why, if the event says so."""
    by: str | None = None
    """Who asked for it, by the subject of the token; only staff and auditors see it."""


TIMELINE = TypeAdapter(list[TimelineEntryResponse])
