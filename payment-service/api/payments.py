"""The payments resource."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from chassis.http.access import allows, caller
from chassis.http.problems import documented
from chassis.http.requests import json_response
from fastapi import APIRouter, Request, Response

from api.schemas import PaymentResponse
from domain.errors import PaymentNotFound
from domain.payment import Payment


class PaymentReader(Protocol):
    async def with_id(self, payment_id: UUID) -> Payment | None: ...

    async def of_order(self, order_id: UUID) -> Payment | None: ...


def router(reading: Callable[[], AbstractAsyncContextManager[PaymentReader]]) -> APIRouter:
    routes = APIRouter(prefix="/payments", tags=["payments"])

    @routes.get("/{payment_id}", response_model=PaymentResponse, responses=documented(404, 422))
    @allows("customer", "staff", "auditor")
    async def get_payment(request: Request, payment_id: UUID) -> Response:
        """A payment and its status."""
        async with reading() as payments:
            return _answer(request, await payments.with_id(payment_id), "There is no such payment.")

    @routes.get("/order/{order_id}", response_model=PaymentResponse, responses=documented(404, 422))
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
