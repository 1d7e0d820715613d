"""The orders resource."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Protocol
from uuid import UUID

from chassis.http.access import allows, caller
from chassis.http.openapi import header
from chassis.http.paging import PAGE, Cursor, Limit, Since, page
from chassis.http.requests import (
    IDEMPOTENCY_KEY,
    REPLAYED,
    BareRoute,
    checked_key,
    json_body,
    json_response,
    read_json,
)
from fastapi import APIRouter, Query, Request, Response

from api.errors import documented
from api.schemas import TIMELINE, OrderResponse, PlaceOrderRequest, TimelineEntryResponse
from application.access import shows_who, visible
from application.cancel_orders import CancelOrder
from application.place_orders import Placed, PlaceOrder
from domain.errors import IdempotencyKeyReused, IllegalTransition, InvalidOrder, OrderNotFound, TooManyOpenOrders
from domain.events import Line
from domain.order import Order, Status

_PLACED_HEADERS = {
    "Location": header("Where the order is.", required=True),
    **REPLAYED,
}


class OrderReader(Protocol):
    async def get(self, keys: Sequence[UUID]) -> dict[UUID, Order]: ...

    async def listed(
        self,
        *,
        customer_id: UUID | None = None,
        status: Status | None = None,
        since: datetime | None = None,
        before: UUID | None,
        limit: int,
    ) -> Sequence[Order]: ...


def router(
    place: Callable[[PlaceOrder], Awaitable[Placed]],
    cancel: Callable[[CancelOrder], Awaitable[Order]],
    reading: Callable[[], AbstractAsyncContextManager[OrderReader]],
) -> APIRouter:
    routes = APIRouter(prefix="/orders", tags=["orders"])

    async def found(request: Request, order_id: UUID) -> Order:
        async with reading() as orders:
            return visible(await orders.get([order_id]), order_id, caller(request))

    @allows("customer", "staff", "service")
    async def place_order(request: Request) -> Response:
        """Places an order. The answer comes once the order is committed; whatever follows needs no client."""
        key = checked_key(request.headers.get("idempotency-key"))
        body = await read_json(request, PlaceOrderRequest)
        items = tuple(Line(item.product_id, item.quantity, item.price) for item in body.items)
        placed = await place(PlaceOrder(body.customer_id, items, request.state.traceparent, key, caller(request)))
        headers = {"Location": f"/orders/{placed.order.id}"}
        if placed.replayed:
            headers["Idempotent-Replayed"] = "true"
        return json_response(OrderResponse.model_validate(placed.order), 201, headers)

    routes.add_api_route(
        "",
        place_order,
        methods=["POST"],
        status_code=201,
        response_model=OrderResponse,
        responses={
            201: {"headers": _PLACED_HEADERS},
            **documented(400, 408, 413, 415, 422, InvalidOrder, IdempotencyKeyReused, TooManyOpenOrders),
        },
        openapi_extra={**json_body(PlaceOrderRequest), "parameters": [IDEMPOTENCY_KEY]},
        route_class_override=BareRoute,
    )

    @routes.get("", response_model=list[OrderResponse], responses={**PAGE, **documented(422)})
    @allows("staff", "auditor")
    async def get_orders(
        request: Request,
        status: Annotated[Status | None, Query(description="Only orders in this status.")] = None,
        customer_id: Annotated[UUID | None, Query(description="Only this customer's.")] = None,
        since: Since = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        """Lists orders, newest first."""
        async with reading() as orders:
            rows = await orders.listed(
                customer_id=customer_id, status=status, since=since, before=cursor, limit=limit + 1
            )
        return page(request, OrderResponse, rows, limit)

    @routes.get("/{order_id}", response_model=OrderResponse, responses=documented(422, OrderNotFound))
    @allows("customer", "staff", "auditor", "service")
    async def get_order(request: Request, order_id: UUID) -> Response:
        """Returns an order and its current status."""
        return json_response(OrderResponse.model_validate(await found(request, order_id)))

    @routes.delete(
        "/{order_id}", response_model=OrderResponse, responses=documented(422, OrderNotFound, IllegalTransition)
    )
    @allows("customer", "staff")
    async def cancel_order(request: Request, order_id: UUID) -> Response:
        """Cancels an order that is not final. Held stock is released, and a charge is refunded."""
        order = await cancel(CancelOrder(order_id, caller(request)))
        return json_response(OrderResponse.model_validate(order))

    @routes.get(
        "/customer/{customer_id}",
        response_model=list[OrderResponse],
        responses={**PAGE, **documented(422, OrderNotFound)},
    )
    @allows("customer", "staff", "auditor")
    async def get_orders_of_customer(
        request: Request, customer_id: UUID, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        """Lists a customer's orders, newest first."""
        if not caller(request).may_see(customer_id):
            raise OrderNotFound("There are no orders of such a customer.")
        async with reading() as orders:
            rows = await orders.listed(customer_id=customer_id, before=cursor, limit=limit + 1)
        return page(request, OrderResponse, rows, limit)

    @routes.get(
        "/{order_id}/timeline", response_model=list[TimelineEntryResponse], responses=documented(422, OrderNotFound)
    )
    @allows("customer", "staff", "auditor", "service")
    async def get_timeline(request: Request, order_id: UUID) -> Response:
        """Lists what happened to an order, oldest first; staff and auditors see who did it."""
        timeline = TIMELINE.validate_python((await found(request, order_id)).timeline)
        hidden = None if shows_who(caller(request)) else {"__all__": {"by"}}
        return Response(TIMELINE.dump_json(timeline, exclude=hidden), media_type="application/json")

    return routes
