from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import httpx
import pytest
from chassis.http.app import create_app
from fastapi import FastAPI

from api import orders
from application.cancel_orders import cancel_orders
from application.place_orders import PlaceOrders
from domain import errors
from tests.builders import NOON
from tests.fakes import MemoryOrders, MemoryOrderUnit

C = TypeVar("C")
R = TypeVar("R")


@pytest.fixture
def unit() -> MemoryOrderUnit:
    return MemoryOrderUnit(now=NOON)


@pytest.fixture
def app(unit: MemoryOrderUnit) -> FastAPI:
    """The service with its database and broker faked: each command is a batch of one."""

    def alone(
        use_case: Callable[[Sequence[C], MemoryOrderUnit], Awaitable[Sequence[R | Exception]]],
    ) -> Callable[[C], Awaitable[R]]:
        async def submit(command: C) -> R:
            [result] = await use_case([command], unit)
            if isinstance(result, Exception):
                raise result
            return result

        return submit

    @asynccontextmanager
    async def reading() -> AsyncIterator[MemoryOrders]:
        yield unit.orders

    place_orders = PlaceOrders(currency="USD", expires_after=timedelta(minutes=15))
    return create_app(
        service="order-service",
        version="test",
        summary="",
        routers=[orders.router(alone(place_orders), alone(cancel_orders), reading)],
        parts=[],
        checks={},
        ready=(),
        errors={
            errors.OrderNotFound: 404,
            errors.IllegalTransition: 409,
            errors.InvalidOrder: 422,
            errors.IdempotencyKeyReused: 422,
        },
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders") as client:
        yield client
