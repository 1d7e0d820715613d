"""The books see what is wrong: each way of cooking them is found. Without this, their silence would prove nothing."""

import subprocess
import sys
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from books import Books, violations
from shop import Line, Shop
from system import System

PAID, UNDONE, SHORT = UUID(int=1), UUID(int=2), UUID(int=3)
CUSTOMER, PRODUCT = UUID(int=4), UUID(int=5)
INITIAL = {PRODUCT: 10}


def _entries(*entries: tuple[str, str, str | None]) -> list[dict[str, Any]]:
    return [
        {"at": f"2026-11-24T12:00:0{second}+00:00", "event": event, "status": status, "reason": reason}
        for second, (event, status, reason) in enumerate(entries)
    ]


def _order(order_id: UUID, *entries: tuple[str, str, str | None]) -> dict[str, Any]:
    ends = [entry for entry in entries if entry[0].startswith("Order")]
    return {
        "id": order_id,
        "customer_id": CUSTOMER,
        "items": [{"product_id": str(PRODUCT), "quantity": 2, "price": "9.50"}],
        "total_amount": Decimal("19.00"),
        "currency": "USD",
        "status": ends[-1][1],
        "reason": ends[-1][2],
        "timeline": _entries(*entries),
    }


def _hold(status: str) -> dict[str, Any]:
    return {"status": status, "items": [{"product_id": str(PRODUCT), "quantity": 2, "price": "9.5"}]}


def _payment(status: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "status": status,
        "reason": reason,
        "amount": Decimal("19.00"),
        "currency": "USD",
        "customer_id": CUSTOMER,
        "outcome_unknown": False,
        "lease": None,
    }


@pytest.fixture
def books() -> Books:
    """Three orders that ended well: paid; cancelled after the charge; out of stock."""
    created, confirmed = ("OrderCreated", "pending", None), ("OrderConfirmed", "confirmed", None)
    return Books(
        orders={
            PAID: _order(PAID, created, confirmed, ("OrderCompleted", "completed", None)),
            UNDONE: _order(
                UNDONE,
                created,
                confirmed,
                ("OrderCancelled", "cancelled", "why"),
                ("InventoryReleased", "cancelled", "why"),
                ("PaymentRefunded", "cancelled", "why"),
            ),
            SHORT: _order(SHORT, created, ("OrderFailed", "failed", "out-of-stock")),
        },
        holds={PAID: _hold("sold"), UNDONE: _hold("released"), SHORT: _hold("refused")},
        payments={PAID: _payment("completed"), UNDONE: _payment("refunded", "why"), SHORT: _payment("void")},
        items={PRODUCT: {"quantity_available": 8, "reserved_quantity": 0}},
        outboxes={"orders": 0, "inventory": 0, "payments": 0},
    )


def test_books_that_agree_have_no_violation(books: Books) -> None:
    assert violations(books, INITIAL) == []


def _timeline(books: Books, order_id: UUID, *, without: int) -> None:
    del books.orders[order_id]["timeline"][without]


@pytest.mark.parametrize(
    ("cook", "expected"),
    [
        (lambda b: b.orders[PAID].update(status="confirmed"), "is confirmed, which is not final"),
        (lambda b: b.orders[PAID]["timeline"].pop(), "it is completed, but its timeline ends with confirmed"),
        (lambda b: _timeline(b, PAID, without=1), "goes from pending to completed by OrderCompleted"),
        (lambda b: _timeline(b, PAID, without=0), "does not begin with OrderCreated"),
        (lambda b: b.orders[UNDONE]["timeline"].append(b.orders[UNDONE]["timeline"][4]), "PaymentRefunded 2 times"),
        (lambda b: b.orders[PAID]["timeline"][0].update(at="2026-11-25T00:00:00+00:00"), "in the order of its times"),
        (lambda b: b.orders[UNDONE].update(reason="another"), "its reason is another, but its timeline says why"),
        (lambda b: _timeline(b, UNDONE, without=3), "hold is released, but its timeline has no line InventoryReleased"),
        (lambda b: _timeline(b, UNDONE, without=4), "payment is refunded, but its timeline has no line"),
        (lambda b: b.holds[PAID].update(status="released"), "is completed, but its hold is released"),
        (lambda b: b.holds.pop(PAID), "is completed, but its hold is absent"),
        (lambda b: b.holds[UNDONE].update(status="held"), "is cancelled, but its hold is held"),
        (lambda b: b.holds[SHORT].update(status="sold"), "is failed, but its hold is sold"),
        (lambda b: b.holds[SHORT].update(status="void"), "failed (out-of-stock), but its hold is void"),
        (lambda b: b.holds[PAID]["items"][0].update(price="9.51"), "but its hold is for"),
        (lambda b: b.payments.pop(PAID), "is completed, but its payment is absent"),
        (lambda b: b.payments[UNDONE].update(status="completed"), "is cancelled, but its payment is completed"),
        (lambda b: b.payments[SHORT].update(status="processing"), "is failed, but its payment is processing"),
        (lambda b: b.payments[PAID].update(amount=Decimal("19.01")), "but its payment is of 19.01 USD"),
        (lambda b: b.payments[PAID].update(customer_id=PAID), "was asked to pay"),
        (lambda b: b.payments[PAID].update(outcome_unknown=True), "answer is still awaited"),
        (lambda b: b.orders.pop(PAID), "hold for order 00000000-0000-0000-0000-000000000001, which does not exist"),
        (lambda b: b.items[PRODUCT].update(quantity_available=9), "began with 10, but 9 available, 0 reserved and 2"),
        (lambda b: b.items[PRODUCT].update(reserved_quantity=2), "has 2 reserved, but its holds add up to 0"),
        (lambda b: b.items[PRODUCT].update(quantity_available=-1), "has -1 available"),
        (lambda b: b.items.clear(), "has no item, though 0 of it are held and 2 sold"),
        (lambda b: b.outboxes.update(payments=3), "The outbox of payments still keeps 3 event(s)"),
    ],
)
def test_every_disagreement_is_found(books: Books, cook: Any, expected: str) -> None:
    cooked = deepcopy(books)
    cook(cooked)

    assert any(expected in sentence for sentence in violations(cooked, INITIAL)), violations(cooked, INITIAL)


def test_an_order_that_failed_for_want_of_money_needs_a_payment_that_failed(books: Books) -> None:
    entries = (
        ("OrderCreated", "pending", None),
        ("OrderFailed", "failed", "payment-declined"),
        ("InventoryReleased", "failed", "payment-declined"),
    )
    books.orders[UNDONE] = _order(UNDONE, *entries)
    books.payments[UNDONE] = _payment("failed", "payment-declined")
    assert violations(books, INITIAL) == []

    books.payments[UNDONE] = _payment("cancelled", "payment-declined")
    assert "failed (payment-declined), but its payment is not failed" in violations(books, INITIAL)[0]


async def test_run_by_hand_it_says_so_and_its_status_tells(system: System, shop: Shop) -> None:
    def run(database_url: str) -> subprocess.CompletedProcess[str]:
        script = Path(__file__).parents[1] / "books.py"
        environment = {"DATABASE_URL": database_url}
        return subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)

    await system.stop("inventory-service")
    try:
        order = await shop.place(Line(UUID(int=5)))
        standing = run(system.database_url)
    finally:
        system.start("inventory-service")
        await system.healthy("inventory-service")

    assert standing.returncode == 1
    assert f"Order {order['id']} is pending, which is not final." in standing.stdout
    await shop.ended(order["id"])
