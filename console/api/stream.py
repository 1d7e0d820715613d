"""What is seen, as a stream of pictures (server-sent events), and an order at a time."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from chassis.http.access import allows
from chassis.http.paging import Since
from chassis.http.problems import Problem, documented
from chassis.ports.errors import Unavailable
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from api.login import as_the_caller
from application.looking import Looking
from application.ports import Refused, Services
from application.story import story
from application.watching import summary

EVERY_SECONDS = 0.5
AT_MOST_SECONDS = 300.0
"""Then the page asks anew, and shows its token again."""
MOST_PAGES = 50
FOUND_SHOWN = 100


class Pictures:
    """One picture for all pages that are open at the same moment."""

    def __init__(self, looking: Looking) -> None:
        self.looking = looking
        self.pages = 0
        self._drawn_at = 0.0
        self._drawn = b""

    async def stream(self) -> AsyncIterator[bytes]:
        self.pages += 1
        try:
            with self.looking.page():
                until = time.monotonic() + AT_MOST_SECONDS
                while time.monotonic() < until:
                    yield b"data: " + self._picture() + b"\n\n"
                    await asyncio.sleep(EVERY_SECONDS)
        finally:
            self.pages -= 1

    def _picture(self) -> bytes:
        if (now := time.monotonic()) - self._drawn_at > 0.8 * EVERY_SECONDS:
            self._drawn, self._drawn_at = orjson.dumps(self.looking.picture()), now
        return self._drawn


def router(pictures: Pictures, services: Services) -> APIRouter:
    routes = APIRouter(tags=["what is seen"], dependencies=[Depends(as_the_caller)])
    watching = pictures.looking.watching

    @routes.get("/stream", response_class=StreamingResponse)
    @allows("staff", "auditor")
    async def stream() -> StreamingResponse:
        """A picture of the system every half second."""
        if pictures.pages >= MOST_PAGES:
            raise Problem(503, "unavailable", f"{MOST_PAGES} pages are open, which is as many as there may be.")
        return StreamingResponse(pictures.stream(), media_type="text/event-stream")

    @routes.get("/api/orders/{order_id}", responses=documented(404, 422))
    @allows("staff", "auditor")
    async def order(order_id: UUID) -> Response:
        """What became of an order: what the page saw of it, merged with what each service tells."""
        key = str(order_id)
        told, seen = await services.told(key), watching.orders.get(key)
        if told.order is None and seen is None and not told.silent:
            raise Problem(404, "not-found", "There is no such order.")
        return _json(story(key, seen, told, watching.stock_before.get(key, {})))

    @routes.get("/api/orders", responses=documented(422))
    @allows("staff", "auditor")
    async def orders(
        customer_id: UUID | None = None,
        status: Annotated[Literal["pending", "confirmed", "completed", "failed", "cancelled"] | None, Query()] = None,
        since: Since = None,
    ) -> Response:
        """The newest orders, as the order service has them; while it is away, those that the page has seen."""
        asked = {"customer_id": customer_id, "status": status, "since": since and since.isoformat()}
        try:
            found = await services.orders({name: str(value) for name, value in asked.items() if value})
            return _json({"orders": [_row(order) for order in found], "of_page": False})
        except Refused as refusal:
            raise Problem(refusal.status, refusal.slug, refusal.detail) from None
        except Unavailable:
            seen = sorted(watching.orders, key=lambda order: order.began_at, reverse=True)
            rows = [summary(order, time.time()) for order in seen if status in (None, order.status)][:FOUND_SHOWN]
            return _json({"orders": rows, "of_page": True})

    return routes


def _row(order: dict[str, Any]) -> dict[str, Any]:
    amount, at = order["total_amount"], order["created_at"]
    return {"id": order["id"], "status": order["status"], "amount": amount, "placed_at": at, "reason": order["reason"]}


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
