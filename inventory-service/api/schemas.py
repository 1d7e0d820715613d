"""The bodies of requests and answers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from chassis.http.requests import INTEGRAL, JsonNumber, Price, RequestModel, ResponseModel
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.config import JsonDict

from domain.item import MAX_AVAILABLE

PRODUCT = "9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01"

_ITEM: JsonDict = {
    "id": "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be002",
    "product_id": PRODUCT,
    "quantity_available": 100,
    "reserved_quantity": 0,
    "price": 19.99,
    "created_at": "2026-11-24T12:00:00Z",
    "updated_at": "2026-11-24T12:00:00Z",
}

_CHANGE: JsonDict = {
    "id": "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be003",
    "product_id": PRODUCT,
    "difference": 10,
    "quantity_available": 110,
    "created_at": "2026-11-24T12:00:00Z",
}


class SetStockRequest(RequestModel):
    model_config = ConfigDict(json_schema_extra={"example": {"quantity_available": 100, "price": 19.99}})

    quantity_available: Annotated[int, Field(strict=True, ge=0, le=MAX_AVAILABLE), INTEGRAL]
    """How many pieces can be ordered from now on; what is reserved is not among them."""
    price: Price | None = None
    """What every order must pay for a piece. Absent: as it is; null: no longer."""


def _not_zero(difference: int) -> int:
    if not difference:
        raise ValueError("a difference of 0 changes nothing")
    return difference


class ChangeStockRequest(RequestModel):
    model_config = ConfigDict(json_schema_extra={"example": {"difference": 10}})

    difference: Annotated[
        int,
        Field(strict=True, ge=-MAX_AVAILABLE, le=MAX_AVAILABLE, json_schema_extra={"not": {"const": 0}}),
        INTEGRAL,
        AfterValidator(_not_zero),
    ]
    """How many pieces are added; negative: taken away."""


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


class StockChangeResponse(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"example": _CHANGE})

    id: UUID
    """The change."""
    product_id: UUID
    """Whose stock it changed."""
    difference: int
    """How many pieces were added; negative: taken away."""
    quantity_available: int
    """What could be ordered right after the change."""
    created_at: datetime
    """When it was made."""
