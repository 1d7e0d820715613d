"""The bodies of requests and answers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from chassis.http.requests import INTEGRAL, JsonNumber, Price, RequestModel, ResponseModel
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

_ITEM: JsonDict = {
    "id": "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be002",
    "product_id": "9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01",
    "quantity_available": 100,
    "reserved_quantity": 0,
    "price": 19.99,
    "created_at": "2026-11-24T12:00:00Z",
    "updated_at": "2026-11-24T12:00:00Z",
}


class SetStockRequest(RequestModel):
    model_config = ConfigDict(json_schema_extra={"example": {"quantity_available": 100, "price": 19.99}})

    quantity_available: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000), INTEGRAL]
    """How many pieces can be ordered from now on; what is reserved is not among them."""
    price: Price | None = None
    """What every order must pay for a piece. Absent: as it is; null: no longer."""


class ItemResponse(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"example": _ITEM})

    id: UUID
    """The item, which is the product's stock."""
    product_id: UUID
    """The product."""
    quantity_available: int
    """How many pieces can be ordered; what is reserved is not among them."""
    reserved_quantity: int
    """How many pieces are held for orders that are not completed."""
    price: JsonNumber | None
    """What every order must pay for a piece; null: what the order says."""
    created_at: datetime
    """When the stock was first set."""
    updated_at: datetime
    """When the stock changed last."""
