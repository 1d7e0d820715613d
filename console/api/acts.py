"""What a person does on the page. Every act is a POST with a JSON body, which a foreign page can't send."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import orjson
from chassis.http.access import allows
from chassis.http.problems import Problem, documented
from chassis.http.requests import json_body, read_json
from fastapi import APIRouter, Depends, Request, Response

from api.login import as_the_caller
from api.schemas import ChangeStock, Nothing, PlaceOrder, SetStock, Settle
from application.acts import Acts
from application.events import LANES
from application.ports import Operators, Refused, Services

_RESPONSES = documented(400, 404, 409, 413, 415, 422)


def router(acts: Acts, services: Services, operators: Operators) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["acts"], dependencies=[Depends(as_the_caller)])

    @routes.post("/orders", responses=_RESPONSES, openapi_extra=json_body(PlaceOrder))
    @allows("staff")
    async def place_order(request: Request) -> Response:
        """Places an order."""
        body = (await read_json(request, PlaceOrder)).model_dump(mode="json")
        items = [item | {"price": float(item["price"])} for item in body["items"]]
        return await answered(lambda: acts.place(body["customer_id"], items))

    @routes.post("/orders/{order_id}/cancel", responses=_RESPONSES, openapi_extra=json_body(Nothing))
    @allows("staff")
    async def cancel_order(request: Request, order_id: UUID) -> Response:
        """Cancels an order that is not final."""
        await read_json(request, Nothing)
        return await answered(lambda: services.cancel(str(order_id)))

    @routes.get("/stock", responses=documented())
    @allows("staff", "auditor")
    async def get_stock() -> Response:
        """What there is of each product, newest first."""
        return await answered(services.stock)

    @routes.post("/stock", responses=_RESPONSES, openapi_extra=json_body(SetStock))
    @allows("staff")
    async def set_stock(request: Request) -> Response:
        """Sets how much of a product can be ordered, and its price if one is given."""
        body = await read_json(request, SetStock)
        stock: dict[str, Any] = {"quantity_available": body.quantity_available}
        if body.price is not None:
            stock["price"] = float(body.price)
        return await answered(lambda: services.set_stock(str(body.product_id or uuid4()), stock))

    @routes.post("/stock/{product_id}/changes", responses=_RESPONSES, openapi_extra=json_body(ChangeStock))
    @allows("staff")
    async def change_stock(request: Request, product_id: UUID) -> Response:
        """Adds to what can be ordered of a product, or takes from it."""
        body = await read_json(request, ChangeStock)
        return await answered(lambda: services.change_stock(str(product_id), body.difference, body.key))

    @routes.post("/books", responses=_RESPONSES, openapi_extra=json_body(Nothing))
    @allows("staff", "auditor")
    async def read_books(request: Request) -> Response:
        """Whether orders, stock, reservations and payments agree."""
        await read_json(request, Nothing)
        return await answered(operators.books)

    @routes.get("/dead-letters", responses=documented())
    @allows("staff", "auditor")
    async def get_dead_letters() -> Response:
        """The events that were set aside."""
        return await answered(operators.dead_letters)

    @routes.post("/dead-letters", responses=_RESPONSES, openapi_extra=json_body(Settle))
    @allows("staff")
    async def settle_dead_letters(request: Request) -> Response:
        """Sends dead letters back to the queues that set them aside, or drops them."""
        body = await read_json(request, Settle)

        async def settle() -> dict[str, int]:
            return {"number": await operators.settle(body.action, [body.service] if body.service else LANES, body.id)}

        return await answered(settle)

    return routes


async def answered(act: Callable[[], Awaitable[Any]]) -> Response:
    """Raises a Problem for what is refused."""
    try:
        return Response(orjson.dumps(await act()), media_type="application/json")
    except Refused as refusal:
        raise Problem(refusal.status, refusal.slug, refusal.detail) from None
