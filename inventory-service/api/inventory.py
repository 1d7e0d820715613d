"""The inventory resource."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from chassis.http.access import allows
from chassis.http.paging import PAGE, Cursor, Limit, page
from chassis.http.requests import json_body, json_response, read_json
from fastapi import APIRouter, Request, Response

from api.errors import documented
from api.schemas import ItemResponse, SetStockRequest
from application.set_stock import SetStock, Stocked
from domain.errors import ItemNotFound
from domain.item import Item


class ItemReader(Protocol):
    async def get(self, keys: Sequence[UUID]) -> dict[UUID, Item]: ...

    async def listed(self, *, before: UUID | None, limit: int) -> Sequence[Item]: ...


def router(
    set_stock: Callable[[SetStock], Awaitable[Stocked]],
    reading: Callable[[], AbstractAsyncContextManager[ItemReader]],
) -> APIRouter:
    routes = APIRouter(prefix="/inventory", tags=["inventory"])

    @routes.get("", response_model=list[ItemResponse], responses={**PAGE, **documented(422)})
    @allows("customer", "staff", "auditor")
    async def get_items(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """All items, newest first."""
        async with reading() as items:
            rows = await items.listed(before=cursor, limit=limit + 1)
        return page(request, ItemResponse, rows, limit)

    @routes.get("/{product_id}", response_model=ItemResponse, responses=documented(422, ItemNotFound))
    @allows("customer", "staff", "auditor")
    async def get_item(product_id: UUID) -> Response:
        """How much of a product can be ordered, how much is reserved, and its price."""
        async with reading() as items:
            item = (await items.get([product_id])).get(product_id)
        if item is None:
            raise ItemNotFound("There is no item for this product.")
        return json_response(ItemResponse.model_validate(item))

    @routes.put(
        "/{product_id}",
        response_model=ItemResponse,
        responses={
            201: {"model": ItemResponse, "description": "The item is new."},
            **documented(400, 408, 413, 415, 422),
        },
        openapi_extra=json_body(SetStockRequest),
    )
    @allows("staff")
    async def put_item(request: Request, product_id: UUID) -> Response:
        """Sets how much can be ordered, and the price; the reserved quantity stays as it is."""
        body = await read_json(request, SetStockRequest)
        keep_price = "price" not in body.model_fields_set
        stocked = await set_stock(SetStock(product_id, body.quantity_available, body.price, keep_price))
        return json_response(ItemResponse.model_validate(stocked.item), 201 if stocked.created else 200)

    return routes
