"""Every way in which an order can end, seen from all sides: the order, its timeline, stock, payment, what the customer
was told, and the events on the exchange."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from chassis.testing import eventually
from chassis.testing.contracts import Contracts

import way
from bus import Event
from operations import books
from operations.shop import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER, Line
from shop import Shop
from story import COMPLETED, CONFIRMED, CREATED, Story, Teller
from system import ROOT, System

UNDONE = "cancelled-by-staff" if way.SECURE else "cancelled-by-customer"
"""By whom the tests call as."""
PAID = Story(
    [CREATED, CONFIRMED, COMPLETED],
    stock=(7, 0),
    reservation="sold",
    payment=("completed", None, 1),
    told=["Order completed", "Order confirmed", "Payment received"],
    events={"InventoryReserved", "PaymentProcessed"},
)
OUT_OF_STOCK = Story(
    [CREATED, ("OrderFailed", "failed", "out-of-stock")],
    stock=(10, 0),
    reservation="refused",
    payment=None,
    told=["Not available", "Order failed"],
    events={"InventoryUnavailable"},
)
UNKNOWN_PRODUCT = Story(
    [CREATED, ("OrderFailed", "failed", "unknown-product")],
    stock=(10, 0),
    reservation="refused",
    payment=None,
    told=["Not available", "Order failed"],
    events={"InventoryUnavailable"},
)


def not_paid(reason: str, *, attempts: int) -> Story:
    return Story(
        [CREATED, CONFIRMED, ("OrderFailed", "failed", reason), ("InventoryReleased", "failed", reason)],
        stock=(10, 0),
        reservation="released",
        payment=("failed", reason, attempts),
        told=["Order confirmed", "Order failed", "Payment failed"],
        events={"InventoryReserved", "PaymentFailed"},
    )


DECLINED = not_paid("payment-declined", attempts=1)
REFUNDED = Story(
    [
        CREATED,
        CONFIRMED,
        ("OrderCancelled", "cancelled", UNDONE),
        ("InventoryReleased", "cancelled", UNDONE),
        ("PaymentRefunded", "cancelled", UNDONE),
    ],
    stock=(10, 0),
    reservation="released",
    payment=("refunded", UNDONE, 2),
    told=["Order cancelled", "Order confirmed", "Payment refunded"],
    events={"InventoryReserved"},
)


@pytest.mark.parametrize(
    ("quantities", "customer", "expected"),
    [
        pytest.param((3,), None, PAID, id="paid"),
        pytest.param((1, 2), None, PAID, id="the-same-product-on-two-lines"),
        pytest.param((11,), None, OUT_OF_STOCK, id="out-of-stock"),
        pytest.param((6, 5), None, OUT_OF_STOCK, id="two-lines-that-are-short-together"),
        pytest.param((3,), DECLINED_CUSTOMER, DECLINED, id="declined"),
        pytest.param(
            (3,), FAILING_CUSTOMER, not_paid("payment-retries-exhausted", attempts=4), id="every-attempt-fails"
        ),
    ],
)
async def test_every_order_ends_as_it_should(
    teller: Teller, quantities: tuple[int, ...], customer: UUID | None, expected: Story
) -> None:
    await teller.place(*quantities, customer=customer)

    await teller.expect(expected)


async def test_an_order_of_an_unknown_product_fails(teller: Teller) -> None:
    await teller.place(1, products=(uuid4(),))

    await teller.expect(UNKNOWN_PRODUCT)


async def test_an_order_at_another_price_than_the_shop_s_fails(teller: Teller, shop: Shop) -> None:
    free = await shop.stock(10)
    dearer = await shop.stock(10, price=10.01)

    await teller.place(1, 1, products=(free, dearer))

    await teller.expect(replace(UNKNOWN_PRODUCT, timeline=[CREATED, ("OrderFailed", "failed", "price-changed")]))
    assert [await shop.stock_of(product) for product in (free, dearer)] == [(10, 0), (10, 0)]

    await shop.stock(10, dearer, price=10)
    await shop.ended((await shop.place(Line(dearer, 2)))["id"])

    async def sold() -> bool:
        return await shop.stock_of(dearer) == (8, 0)

    await eventually(sold)  # the inventory hears of the order's end later than we do


async def test_nothing_is_held_of_an_order_of_which_one_line_is_short(teller: Teller, shop: Shop) -> None:
    scarce = await shop.stock(1)
    plenty = await shop.stock(10)

    await teller.place(2, 2, products=(plenty, scarce))

    await teller.expect(OUT_OF_STOCK)
    assert await shop.stock_of(plenty) == (10, 0)
    assert await shop.stock_of(scarce) == (1, 0)


async def test_a_charge_whose_answer_was_lost_is_asked_for_again_and_made_once(teller: Teller, system: System) -> None:
    order_id = await teller.place(3, customer=FORGETFUL_CUSTOMER)

    await teller.expect(Story(**PAID.__dict__ | {"payment": ("completed", None, 2)}))
    attempts = [line for line in system.services["payment-service"].lines() if line.get("order") == order_id]
    assert len({line["key"] for line in attempts if line["event"] == "payment attempt"}) == 1


async def test_cancelling_between_two_attempts_ends_the_payment_uncharged(teller: Teller, shop: Shop) -> None:
    order_id = await teller.place(3, customer=FAILING_CUSTOMER)

    async def waits_for_a_retry() -> bool:
        payment = await shop.payment(order_id)
        return payment is not None and payment["attempts"] >= 1 and (await shop.order(order_id))["status"] != "pending"

    await eventually(waits_for_a_retry)
    assert (await shop.cancel(order_id)).status_code == 200
    payment = await shop.payment(order_id)
    assert payment is not None

    await teller.expect(
        Story(
            [
                CREATED,
                CONFIRMED,
                ("OrderCancelled", "cancelled", UNDONE),
                ("InventoryReleased", "cancelled", UNDONE),
            ],
            stock=(10, 0),
            reservation="released",
            payment=("cancelled", UNDONE, payment["attempts"]),
            told=["Order cancelled", "Order confirmed"],
            events={"InventoryReserved"},
        )
    )


async def cancel_while_in_doubt(teller: Teller, shop: Shop) -> None:
    order_id = await teller.place(3, customer=FORGETFUL_CUSTOMER)

    async def is_in_doubt() -> bool:
        payment = await shop.payment(order_id)
        return payment is not None and payment["attempts"] == 1 and (await shop.order(order_id))["status"] != "pending"

    await eventually(is_in_doubt)
    assert (await shop.cancel(order_id)).status_code == 200


async def test_cancelling_while_a_charge_is_in_doubt_refunds_it_once_it_is_known(teller: Teller, shop: Shop) -> None:
    await cancel_while_in_doubt(teller, shop)

    await teller.expect(REFUNDED)


async def test_a_completed_order_can_not_be_cancelled(teller: Teller, shop: Shop) -> None:
    order_id = await teller.place(3)
    await teller.expect(PAID)

    refusal = await shop.cancel(order_id)

    assert refusal.status_code == 409
    assert refusal.json()["type"] == "/problems/illegal-transition"
    await teller.expect(PAID)


async def test_cancelling_twice_is_answered_the_same_way_twice(teller: Teller, shop: Shop) -> None:
    order_id = await teller.place(3, customer=FAILING_CUSTOMER)

    first, second = await shop.cancel(order_id), await shop.cancel(order_id)

    assert first.status_code == second.status_code == 200
    assert {key: first.json()[key] for key in ("id", "status", "reason")} == {
        key: second.json()[key] for key in ("id", "status", "reason")
    }
    timeline = await shop.timeline(order_id)
    assert [entry["event"] for entry in timeline].count("OrderCancelled") == 1


async def test_an_order_that_is_not_there_can_not_be_cancelled(shop: Shop) -> None:
    assert (await shop.cancel(str(uuid4()))).status_code == 404


async def test_every_event_is_as_its_producers_contract_says(teller: Teller, shop: Shop) -> None:
    """All eleven kinds of events, as they really are on the exchange."""
    seen: dict[str, Event] = {}
    for quantity, customer, expected in (
        (3, None, PAID),
        (11, None, OUT_OF_STOCK),
        (3, DECLINED_CUSTOMER, DECLINED),
    ):
        await teller.place(quantity, customer=customer)
        await teller.expect(expected)
        seen |= {event["type"]: event for event in teller.events()}
    await cancel_while_in_doubt(teller, shop)
    await teller.expect(REFUNDED)
    seen |= {event["type"]: event for event in teller.events()}

    contracts = {path.name.split(".")[0]: path for path in ROOT.glob("*-service/contracts/*.schema.json")}
    assert seen.keys() == contracts.keys()
    for name, event in seen.items():
        assert Contracts(contracts[name].parent).violations(event, name) == []


async def test_the_books_agree_after_all_of_this(system: System) -> None:
    async def agree() -> bool:
        return not await books.audit(system.database_url)

    try:
        await eventually(agree)
    except TimeoutError:
        assert await books.audit(system.database_url) == []
