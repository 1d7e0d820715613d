"""The books see what is wrong: each way of cooking them is found. Without this, their silence would prove nothing."""

import asyncio
import random
import subprocess
import sys
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from book_rules import ATTENTION, MANY_WAITS, MOMENTS, OVERDUE, Audit
from books import Books, check, examine, metrics, read, violations
from load import Load, settled_books
from shop import Line, Shop
from system import System

PAID, UNDONE, SHORT, OPEN = UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=6)
CUSTOMER, PRODUCT = UUID(int=4), UUID(int=5)
INITIAL = {PRODUCT: 10}
PLACED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOW = PLACED + timedelta(seconds=10)
LONG_AGO = PLACED - timedelta(hours=1)
CREATED, CONFIRMED = ("OrderCreated", "pending", None), ("OrderConfirmed", "confirmed", None)


def _entries(*entries: tuple[str, str, str | None]) -> list[dict[str, Any]]:
    return [
        {
            "at": (PLACED + timedelta(seconds=second)).isoformat(),
            "event": event,
            "status": status,
            "reason": reason,
        }
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
        "updated_at": PLACED,
        "expires_at": PLACED + timedelta(minutes=15),
    }


def _hold(status: str) -> dict[str, Any]:
    return {
        "status": status,
        "items": [{"product_id": str(PRODUCT), "quantity": 2, "price": "9.5"}],
        "updated_at": PLACED,
        "expires_at": PLACED + timedelta(minutes=15),
    }


def _payment(status: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "status": status,
        "reason": reason,
        "amount": Decimal("19.00"),
        "currency": "USD",
        "customer_id": CUSTOMER,
        "outcome_unknown": False,
        "lease": None,
        "attempts": 1,
        "waits": 0,
        "due_at": NOW if status in ("pending", "processing", "refunding") else None,
        "updated_at": PLACED,
    }


@pytest.fixture
def books() -> Books:
    """Three orders that ended well: paid; cancelled after the charge; out of stock."""
    books = Books(
        orders={
            PAID: _order(PAID, CREATED, CONFIRMED, ("OrderCompleted", "completed", None)),
            UNDONE: _order(
                UNDONE,
                CREATED,
                CONFIRMED,
                ("OrderCancelled", "cancelled", "why"),
                ("InventoryReleased", "cancelled", "why"),
                ("PaymentRefunded", "cancelled", "why"),
            ),
            SHORT: _order(SHORT, CREATED, ("OrderFailed", "failed", "out-of-stock")),
        },
        holds={PAID: _hold("sold"), UNDONE: _hold("released"), SHORT: _hold("refused")},
        payments={PAID: _payment("completed"), UNDONE: _payment("refunded", "why"), SHORT: _payment("void")},
        items={PRODUCT: {"quantity_available": 8, "reserved_quantity": 0}},
        outboxes={"orders": 0, "inventory": 0, "payments": 0},
        now=NOW,
    )
    for rows in (books.holds, books.payments):
        rows.update({order_id: {**row, "order_id": order_id} for order_id, row in rows.items()})
    return books


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
        CREATED,
        ("OrderFailed", "failed", "payment-declined"),
        ("InventoryReleased", "failed", "payment-declined"),
    )
    books.orders[UNDONE] = _order(UNDONE, *entries)
    books.payments[UNDONE] = _payment("failed", "payment-declined")
    assert violations(books, INITIAL) == []

    books.payments[UNDONE] = _payment("cancelled", "payment-declined")
    assert "failed (payment-declined), but its payment is not failed" in violations(books, INITIAL)[0]


def _under_way(books: Books, hold: str = "held", payment: str = "processing", **changes: Any) -> Any:
    """A fourth order, confirmed and to be paid for."""
    books.orders[OPEN] = _order(OPEN, CREATED, CONFIRMED)
    books.holds[OPEN] = _hold(hold)
    books.payments[OPEN] = _payment(payment) | changes
    _balance(books)
    return books


def _just_placed(books: Books, hold: str | None = None) -> Any:
    books.orders[OPEN] = _order(OPEN, CREATED)
    if hold is not None:
        books.holds[OPEN] = _hold(hold)
    _balance(books)
    return books


def _balance(books: Books) -> None:
    """Items as the holds have them."""
    held = sum(2 for hold in books.holds.values() if hold["status"] == "held")
    sold = sum(2 for hold in books.holds.values() if hold["status"] == "sold")
    books.items[PRODUCT] = {"quantity_available": 10 - held - sold, "reserved_quantity": held}


def _end(books: Books, order_id: UUID, *, hold: str | None = None, payment: str | None = None, **changes: Any) -> None:
    """Another end of a hold or a payment, of which the order's timeline has not heard."""
    for rows, status, note in (
        (books.holds, hold, "InventoryReleased"),
        (books.payments, payment, "PaymentRefunded"),
    ):
        if status is not None:
            due_at = NOW if status in ("pending", "processing", "refunding") else None
            rows[order_id] |= {"status": status, "due_at": due_at} | changes  # type: ignore[operator]
            timeline = books.orders[order_id]["timeline"]
            timeline[:] = [entry for entry in timeline if entry["event"] != note]
    _balance(books)


def _said(audit: Audit) -> list[str]:
    return [finding.sentence for finding in audit.alarming]


@pytest.mark.parametrize(
    ("cook", "expected"),
    [
        (lambda b: _just_placed(b, "held"), "is pending, but its hold is held"),
        (lambda b: _just_placed(b, "refused"), "is pending, but its hold is refused"),
        (lambda b: _under_way(b, payment="completed"), "is confirmed, but its payment is completed"),
        (lambda b: _under_way(b, payment="failed"), "is confirmed, but its payment is failed"),
        (lambda b: _end(b, PAID, hold="held"), "is completed, but its hold is held"),
        (lambda b: _end(b, UNDONE, hold="held"), "is cancelled, but its hold is held"),
        (lambda b: _end(b, UNDONE, payment="pending"), "is cancelled, but its payment is pending"),
        (lambda b: _end(b, UNDONE, payment="processing"), "is cancelled, but its payment is processing"),
        (lambda b: _end(b, UNDONE, payment="completed"), "is cancelled, but its payment is completed"),
        (lambda b: _timeline(b, UNDONE, without=3), "hold is released, but its timeline has no line InventoryReleased"),
        (lambda b: _timeline(b, UNDONE, without=4), "payment is refunded, but its timeline has no line"),
    ],
)
def test_what_was_told_a_moment_ago_may_not_have_been_followed_yet(books: Books, cook: Any, expected: str) -> None:
    cook(books)
    assert _said(check(books, INITIAL, settled=False)) == []

    books.now = PLACED + MOMENTS + timedelta(seconds=1)
    (sentence,) = _said(check(books, INITIAL, settled=False))
    assert expected in sentence


@pytest.mark.parametrize(
    "cook",
    [
        _just_placed,
        _under_way,
        lambda b: _under_way(b, payment="pending"),
        lambda b: _under_way(b, outcome_unknown=True, lease=PAID, waits=MANY_WAITS - 1),
        lambda b: _end(b, UNDONE, payment="refunding"),
        lambda b: _end(b, UNDONE, payment="processing", outcome_unknown=True),
    ],
)
def test_what_only_the_deadline_or_the_gateway_can_end_is_left_to_them(books: Books, cook: Any) -> None:
    cook(books)
    books.now = PLACED + timedelta(minutes=10)
    for payment in books.payments.values():
        payment.update(due_at=payment["due_at"] and books.now)  # type: ignore[attr-defined]

    assert check(books, INITIAL, settled=False).findings == []


@pytest.mark.parametrize(
    ("cook", "expected"),
    [
        (lambda b: _just_placed(b, "sold"), "is pending, but its hold is sold"),
        (lambda b: _under_way(b, hold="released"), "is confirmed, but its hold is released"),
        (lambda b: _under_way(b, payment="cancelled"), "is confirmed, but its payment is cancelled"),
        (lambda b: _under_way(b, payment="refunded"), "is confirmed, but its payment is refunded"),
        (lambda b: _under_way(b, hold="refused"), "its payment is processing, though its hold is refused"),
        (lambda b: _under_way(b, due_at=None), "nothing will ask the gateway for it any more"),
        (lambda b: _end(b, PAID, hold="released"), "is completed, but its hold is released"),
        (lambda b: _end(b, PAID, payment="processing"), "is completed, but its payment is processing"),
        (lambda b: _end(b, UNDONE, hold="sold"), "is cancelled, but its hold is sold"),
        (lambda b: b.payments[UNDONE].update(status="completed"), "but its timeline has a line PaymentRefunded"),
        (lambda b: b.items[PRODUCT].update(reserved_quantity=1), "has 1 reserved, but its holds add up to 0"),
    ],
)
def test_what_never_may_be_is_found_at_any_moment(books: Books, cook: Any, expected: str) -> None:
    cook(books)

    assert any(expected in sentence for sentence in _said(check(books, INITIAL, settled=False)))


@pytest.mark.parametrize(
    ("kind", "cook"),
    [
        ("order", lambda b: _just_placed(b).orders[OPEN].update(expires_at=LONG_AGO)),
        ("hold", lambda b: _under_way(b).holds[OPEN].update(expires_at=LONG_AGO)),
        ("payment", lambda b: _under_way(b, due_at=LONG_AGO)),
        ("payment", lambda b: _end(b, UNDONE, payment="refunding", due_at=LONG_AGO)),
        ("refund", lambda b: _end(b, UNDONE, payment="refunding", waits=MANY_WAITS)),
        ("outbox", lambda b: (b.outboxes.update(payments=3), b.oldest.update(payments=LONG_AGO))),
        ("unknown-outcome", lambda b: _under_way(b, outcome_unknown=True, waits=MANY_WAITS)),
    ],
)
def test_what_is_overdue_or_needs_attention_is_found_and_counted(books: Books, kind: str, cook: Any) -> None:
    cook(books)
    audit = check(books, INITIAL, settled=False)
    severity = "attention" if kind in ATTENTION else "overdue"

    assert [(finding.severity, finding.kind) for finding in audit.findings] == [(severity, kind)]

    figures = {
        (sample.name, sample.labels.get("kind", sample.labels.get("status", ""))): sample.value
        for family in text_string_to_metric_families(metrics(audit))
        for sample in family.samples
    }
    assert figures["books_violations", ""] == 0
    assert figures["books_orders", "completed"] == 1
    assert figures["books_open_orders", ""] == len(books.orders) - 3
    assert figures["books_read_timestamp_seconds", ""] == NOW.timestamp()
    assert {name[1]: value for name, value in figures.items() if name[0] in ("books_overdue", "books_attention")} == {
        name: float(name == kind) for name in (*OVERDUE, *ATTENTION)
    }


async def test_a_busy_shop_never_raises_a_false_alarm(system: System, shop: Shop, chance: random.Random) -> None:
    """Read again and again while orders are placed, cancelled and charged for, and a service dies."""
    initial = {await shop.stock(10_000): 10_000 for _ in range(5)}
    load = Load(
        system.urls["order-service"],
        list(initial),
        clients=12,
        cancel=0.3,
        difficult=0.2,
        pause_seconds=0.05,
        chance=chance,
    )
    placing = asyncio.create_task(load.place(600))
    readings = under_way = 0
    while not placing.done() or readings < 20:
        standing = await read(system.database_url)
        assert _said(check(standing, initial, settled=False)) == []
        under_way += any("is not final" not in sentence for sentence in violations(standing, initial))
        readings += 1
        if readings == 10:
            await system.kill("payment-service")
            system.start("payment-service")
    await placing
    await system.healthy()

    assert under_way > 5, "events were in flight when the books were read"
    assert await settled_books(system.database_url, initial, within_seconds=60) == []
    assert (await examine(system.database_url, initial, settled=False)).findings == []


async def test_run_by_hand_it_says_so_and_its_status_tells(system: System, shop: Shop) -> None:
    async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        script = Path(__file__).parents[1] / "books.py"
        command = [sys.executable, str(script), *arguments]
        variables = {"DATABASE_URL": system.database_url} | environment
        done = await asyncio.to_thread(subprocess.run, command, env=variables, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    await system.stop("inventory-service")
    try:
        order = await shop.place(Line(UUID(int=5)))
        status, said, _ = await run()
        assert (status, "1 pending" in said, "the books agree" in said) == (0, True, True)

        status, said, _ = await run("--settled")
        assert status == 1
        assert f"Order {order['id']} is pending, which is not final." in said

        status, said, _ = await run("--metrics")
        assert status == 0
        assert 'books_orders{status="pending"} 1.0' in said
    finally:
        system.start("inventory-service")
        await system.healthy("inventory-service")
    await shop.ended(order["id"])

    status, said, complaint = await run(DATABASE_URL="postgresql://postgres:postgres@127.0.0.1:9/nowhere")
    assert (status, said) == (2, "")
    assert "is the system up?" in complaint
