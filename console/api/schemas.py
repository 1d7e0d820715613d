"""The bodies of what a person does on the page. The services check amounts and bounds again, and say what is wrong."""

from typing import Annotated, Literal
from uuid import UUID

from chassis.http.requests import INTEGRAL, Price, RequestModel
from pydantic import Field

from application.crowd import MOST_ORDERS

Service = Literal["order-service", "inventory-service", "payment-service", "notification-service"]


class Nothing(RequestModel):
    """An empty object: what makes a browser ask before a foreign page may send it."""


class Item(RequestModel):
    product_id: UUID
    quantity: Annotated[int, Field(strict=True, ge=1, le=10_000), INTEGRAL]
    price: Price


class PlaceOrder(RequestModel):
    customer_id: UUID | None = None
    """Nobody: somebody new."""
    items: Annotated[list[Item], Field(min_length=1, max_length=20)]


class GatherCrowd(RequestModel):
    customers: Annotated[int, Field(strict=True, ge=1, le=MOST_ORDERS), INTEGRAL]
    pieces: Annotated[int, Field(strict=True, ge=0, le=100_000), INTEGRAL]


class SetStock(RequestModel):
    product_id: UUID | None = None
    """None: a new product."""
    quantity_available: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000), INTEGRAL]
    price: Price | None = None


class ChangeStock(RequestModel):
    difference: Annotated[int, Field(strict=True), INTEGRAL]
    key: Annotated[str, Field(pattern="^[!-~]{1,255}$")]
    """The same for the same act, however often it is sent."""


class Break(RequestModel):
    act: Literal["kill", "disconnect", "gateway", "poison", "again", "wipe"]
    service: Service = "payment-service"
    replica: Annotated[str, Field(max_length=100)] | None = None
    """host:port of the one to kill."""
    answers: Literal["normal", "declined", "error", "silent"] = "normal"


class Settle(RequestModel):
    action: Literal["redrive", "drop"]
    service: Service | None = None
    """None: all of them."""
    id: Annotated[str, Field(max_length=100)] | None = None
    """None: all letters."""
