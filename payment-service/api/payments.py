"""The payments resource."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Protocol
from uuid import UUID

from chassis.http.access import allows, caller
from chassis.http.paging import PAGE, Cursor, Limit, page
from chassis.http.requests import json_response
from fastapi import APIRouter, Query, Request, Response

from api.errors import documented
from api.schemas import PaymentResponse, VisibleStatus
from domain.errors import PaymentNotFound
from domain.payment import Payment, Status


class PaymentReader(Protocol):
    async def with_id(self, payment_id: UUID) -> Payment | None: ...

    async def of_order(self, order_id: UUID) -> Payment | None: ...

    async def listed(self, *, status: Status | None, before: UUID | None, limit: int) -> Sequence[Payment]: ...


def router(reading: Callable[[], AbstractAsyncContextManager[PaymentReader]]) -> APIRouter:
    routes = APIRouter(prefix="/payments", tags=["payments"])

    @routes.get("", response_model=list[PaymentResponse], responses={**PAGE, **documented(422)})
    @allows("staff", "auditor")
    async def get_payments(
        request: Request,
        status: Annotated[VisibleStatus | None, Query(description="Only payments in this status.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        """Lists payments, those of the newest orders first."""
        async with reading() as payments:
            rows = await payments.listed(status=status and Status(status), before=cursor, limit=limit + 1)
        return page(request, PaymentResponse, rows, limit)

    @routes.get("/{payment_id}", response_model=PaymentResponse, responses=documented(422, PaymentNotFound))
    @allows("customer", "staff", "auditor")
    async def get_payment(request: Request, payment_id: UUID) -> Response:
        """A payment and its status."""
        async with reading() as payments:
            return _answer(request, await payments.with_id(payment_id), "There is no such payment.")

    @routes.get("/order/{order_id}", response_model=PaymentResponse, responses=documented(422, PaymentNotFound))
    @allows("customer", "staff", "auditor")
    async def get_payment_of_order(request: Request, order_id: UUID) -> Response:
        """The payment of an order. There is none until the order's stock is reserved."""
        async with reading() as payments:
            return _answer(request, await payments.of_order(order_id), "This order has no payment.")

    return routes


def _answer(request: Request, payment: Payment | None, otherwise: str) -> Response:
    if payment is None or not caller(request).may_see(payment.customer_id):
        raise PaymentNotFound(otherwise)
    return json_response(PaymentResponse.model_validate(payment))
