"""The order's deadline, which only the order service keeps."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from chassis.testing import eventually

from operations import books
from operations.shop import FAILING_CUSTOMER, Line
from shop import Shop
from story import CONFIRMED, CREATED, Story, Teller
from system import System


@pytest.fixture(autouse=True, scope="module")
async def short_lives(system: System) -> AsyncIterator[None]:
    order, payment = system.services["order-service"], system.services["payment-service"]
    before = dict(order.environment), dict(payment.environment)
    await system.restart(
        "order-service", "payment-service", ORDER_EXPIRES_AFTER_SECONDS="2", PAYMENT_RETRY_DELAYS_SECONDS="60"
    )
    yield
    order.environment, payment.environment = before
    await system.restart("order-service", "payment-service")


async def test_an_order_past_its_deadline_fails_and_gives_everything_back(teller: Teller) -> None:
    await teller.place(3, customer=FAILING_CUSTOMER)

    await teller.expect(
        Story(
            [
                CREATED,
                CONFIRMED,
                ("OrderFailed", "failed", "expired"),
                ("InventoryReleased", "failed", "expired"),
            ],
            stock=(10, 0),
            reservation="released",
            payment=("cancelled", "expired", 1),
            told=["Order confirmed", "Order failed"],
            events={"InventoryReserved"},
        )
    )


async def test_nothing_is_held_or_charged_for_an_order_that_is_heard_of_after_its_deadline(
    shop: Shop, system: System
) -> None:
    product = await shop.stock(10)
    await system.stop("inventory-service")
    order = await shop.place(Line(product, 3))
    assert (await shop.ended(order["id"]))["reason"] == "expired"
    system.start("inventory-service")
    await system.healthy("inventory-service")

    async def void() -> bool:
        reservation = (await books.read(system.database_url)).reservations.get(UUID(order["id"]))
        return reservation is not None and reservation["status"] == "void"

    await eventually(void)
    assert await shop.stock_of(product) == (10, 0)
    assert await shop.payment(order["id"]) is None
