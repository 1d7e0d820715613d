"""The floor: the order service's HTTP side and nothing behind it. What is left to gain beyond it is uvicorn's and
FastAPI's own.

The request is read and validated, and the answer written, by the order service's own code: the two can't drift apart.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from chassis.http.requests import json_response, read_json
from chassis.ports.tracing import new_traceparent
from fastapi import FastAPI, Request, Response

from api.schemas import ItemResponse, OrderResponse, PlaceOrderRequest

_ABSENT: dict[str, Any] = dict.fromkeys(OrderResponse.model_fields)
"""What a new order lacks, such as its reason."""

app = FastAPI()


@app.post("/orders", status_code=201)
async def place_order(request: Request) -> Response:
    body = await read_json(request, PlaceOrderRequest)
    now = datetime.now(UTC)
    told = {
        "id": uuid4(),
        "customer_id": body.customer_id,
        "items": [
            ItemResponse(product_id=item.product_id, quantity=item.quantity, price=item.price) for item in body.items
        ],
        "total_amount": sum((item.price * item.quantity for item in body.items), start=body.items[0].price * 0),
        "currency": "USD",
        "status": "pending",
        "shortages": [],
        "expires_at": now + timedelta(seconds=900),
        "created_at": now,
        "updated_at": now,
        "traceparent": request.headers.get("traceparent") or new_traceparent(),
    }
    order = OrderResponse(**_ABSENT | told)
    return json_response(order, 201, {"Location": f"/orders/{order.id}"})


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok", "service": "floor"}
