"""The inventory resource."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from chassis.http.access import allows, caller
from chassis.http.openapi import header
from chassis.http.paging import PAGE, Cursor, Limit, page
from chassis.http.requests import IDEMPOTENCY_KEY, REPLAYED, checked_key, json_body, json_response, read_json
from fastapi import APIRouter, Request, Response

from api.conditions import CONDITIONS, condition, etag
from api.errors import documented
from api.schemas import ChangeStockRequest, ItemResponse, SetStockRequest, StockChangeResponse
from application.change_stock import Changed, ChangeStock
from application.set_stock import SetStock, Stocked
from domain.errors import IdempotencyKeyReused, ItemNotFound, StockOutOfBounds, StockRevised
from domain.item import Item

_ETAG = {"headers": {"ETag": header("Changes when people set or change the stock, not with orders.", required=True)}}


class ItemReader(Protocol):
    async def get(self, keys: Sequence[UUID]) -> dict[UUID, Item]: ...

    async def listed(self, *, before: UUID | None, limit: int) -> Sequence[Item]: ...


def router(
    set_stock: Callable[[SetStock], Awaitable[Stocked]],
    change_stock: Callable[[ChangeStock], Awaitable[Changed]],
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

    @routes.get("/{product_id}", response_model=ItemResponse, responses={200: _ETAG, **documented(422, ItemNotFound)})
    @allows("customer", "staff", "auditor")
    async def get_item(product_id: UUID) -> Response:
        """How much of a product can be ordered, how much is reserved, and its price."""
        async with reading() as items:
            item = (await items.get([product_id])).get(product_id)
        if item is None:
            raise ItemNotFound("There is no item for this product.")
        return json_response(ItemResponse.model_validate(item), headers={"ETag": etag(item.revision)})

    @routes.put(
        "/{product_id}",
        response_model=ItemResponse,
        responses={
            200: _ETAG,
            201: {"model": ItemResponse, "description": "The item is new.", **_ETAG},
            **documented(400, 408, 413, 415, 422, StockRevised),
        },
        openapi_extra={**json_body(SetStockRequest), "parameters": CONDITIONS},
    )
    @allows("staff")
    async def put_item(request: Request, product_id: UUID) -> Response:
        """Sets how much can be ordered, and the price; the reserved quantity stays as it is. With If-Match only if
        nobody has set or changed it since that ETag; orders may have."""
        only_at = condition(request.headers)
        body = await read_json(request, SetStockRequest)
        keep_price = "price" not in body.model_fields_set
        stocked = await set_stock(SetStock(product_id, body.quantity_available, body.price, keep_price, only_at))
        headers = {"ETag": etag(stocked.item.revision)}
        return json_response(ItemResponse.model_validate(stocked.item), 201 if stocked.created else 200, headers)

    @routes.post(
        "/{product_id}/changes",
        status_code=201,
        response_model=StockChangeResponse,
        responses={
            201: {"headers": REPLAYED},
            **documented(400, 408, 413, 415, 422, ItemNotFound, StockOutOfBounds, IdempotencyKeyReused),
        },
        openapi_extra={**json_body(ChangeStockRequest), "parameters": [{**IDEMPOTENCY_KEY, "required": True}]},
    )
    @allows("staff")
    async def post_change(request: Request, product_id: UUID) -> Response:
        """Adds to what can be ordered, or takes from it, whatever it is by now: "ten have arrived"."""
        key = checked_key(request.headers.get("idempotency-key", ""))
        body = await read_json(request, ChangeStockRequest)
        changed = await change_stock(ChangeStock(product_id, body.difference, key, caller(request)))
        headers = {"Idempotent-Replayed": "true"} if changed.replayed else None
        return json_response(StockChangeResponse.model_validate(changed.change), 201, headers)

    return routes
