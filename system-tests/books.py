"""The books: whether orders, stock, holds and payments agree once nothing moves any more.

    DATABASE_URL=postgresql://postgres:postgres@localhost:5432/order_processing python books.py

prints every disagreement as a sentence and exits with status 1 if there is one. It reads all three schemas as the role
`auditor`, in one snapshot.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none

Row = Mapping[str, Any]

FINAL = frozenset({"completed", "failed", "cancelled"})
_TRANSITIONS = {
    ("pending", "confirmed"),
    ("confirmed", "completed"),
    *((open_state, undone) for open_state in ("pending", "confirmed") for undone in ("failed", "cancelled")),
}
_STATUS_AFTER = {
    "OrderCreated": "pending",
    "OrderConfirmed": "confirmed",
    "OrderCompleted": "completed",
    "OrderFailed": "failed",
    "OrderCancelled": "cancelled",
}
_NOTES = ("InventoryReleased", "PaymentRefunded")
_HOLD_AFTER = {
    "completed": {"sold"},
    "failed": {"released", "refused", "void", "absent"},
    "cancelled": {"released", "refused", "void", "absent"},
}
_PAYMENT_AFTER = {
    "completed": {"completed"},
    "failed": {"failed", "cancelled", "refunded", "void", "absent"},
    "cancelled": {"failed", "cancelled", "refunded", "void", "absent"},
}


@dataclass(slots=True)
class Books:
    orders: dict[UUID, Row] = field(default_factory=dict)
    holds: dict[UUID, Row] = field(default_factory=dict)
    """By order id."""
    payments: dict[UUID, Row] = field(default_factory=dict)
    """By order id."""
    items: dict[UUID, Row] = field(default_factory=dict)
    """By product id."""
    outboxes: dict[str, int] = field(default_factory=dict)
    """How many events wait in each schema."""


async def read(database_url: str) -> Books:
    """The books as they stand. The URL's user must be an administrator, or a member of `auditor`."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""), timeout=10)
    try:
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL ROLE auditor")
            return Books(
                orders={row["id"]: row for row in await connection.fetch("SELECT * FROM orders.orders ORDER BY id")},
                holds={row["order_id"]: row for row in await connection.fetch("SELECT * FROM inventory.holds")},
                payments={row["order_id"]: row for row in await connection.fetch("SELECT * FROM payments.payments")},
                items={
                    row["product_id"]: row for row in await connection.fetch("SELECT * FROM inventory.inventory_items")
                },
                outboxes={
                    schema: await connection.fetchval(f"SELECT count(*) FROM {schema}.outbox")
                    for schema in ("orders", "inventory", "payments")
                },
            )
    finally:
        await connection.close()


def violations(books: Books, initial: Mapping[UUID, int] | None = None) -> list[str]:
    """What does not agree, a sentence each: order by order, then by product. `initial` says what there was of each
    product before its first order; of products that it doesn't name, the sum can't be checked."""
    found = [sentence for order in books.orders.values() for sentence in _of_order(order, books)]
    for kind, rows in (("hold", books.holds), ("payment", books.payments)):
        strangers = rows.keys() - books.orders.keys()
        found += [f"There is a {kind} for order {order_id}, which does not exist." for order_id in strangers]
    found += _of_stock(books, initial or {})
    for schema, waiting in books.outboxes.items():
        if waiting:
            found.append(f"The outbox of {schema} still keeps {waiting} event(s).")
    return found


async def audit(database_url: str, initial: Mapping[UUID, int] | None = None) -> list[str]:
    return violations(await read(database_url), initial)


def _of_order(order: Row, books: Books) -> Iterator[str]:
    name, status = f"Order {order['id']}", order["status"]
    hold, payment = books.holds.get(order["id"]), books.payments.get(order["id"])
    for complaint in _of_timeline(order):
        yield f"{name}: {complaint}."
    if status not in FINAL:
        yield f"{name} is {status}, which is not final."
        return
    held, paid = (hold["status"] if hold else "absent"), (payment["status"] if payment else "absent")
    if held not in _HOLD_AFTER[status]:
        yield f"{name} is {status}, but its hold is {held}."
    if paid not in _PAYMENT_AFTER[status]:
        yield f"{name} is {status}, but its payment is {paid}."
    told = {entry["event"] for entry in order["timeline"]}
    for note, happened, what in (
        ("InventoryReleased", held == "released", f"hold is {held}"),
        ("PaymentRefunded", paid == "refunded", f"payment is {paid}"),
    ):
        if (note in told) != happened:
            yield f"{name}: its {what}, but its timeline has {'a' if note in told else 'no'} line {note}."
    if hold and hold["items"] is not None and _lines(hold) != _lines(order):
        yield f"{name} is for {order['items']}, but its hold is for {hold['items']}."
    yield from _of_reason(name, order, held, payment)
    yield from _of_money(name, order, payment)


def _of_reason(name: str, order: Row, held: str, payment: Row | None) -> Iterator[str]:
    """An order that failed for want of stock or money must find both services of the same opinion."""
    reason = order["reason"]
    if reason in ("out-of-stock", "unknown-product") and held != "refused":
        yield f"{name} failed ({reason}), but its hold is {held}."
    if reason in ("payment-declined", "payment-retries-exhausted") and not (
        payment and payment["status"] == "failed" and payment["reason"] == reason
    ):
        yield f"{name} failed ({reason}), but its payment is not failed for that reason."


def _of_money(name: str, order: Row, payment: Row | None) -> Iterator[str]:
    if payment is None or payment["status"] == "void":
        return
    if (payment["amount"], payment["currency"]) != (order["total_amount"], order["currency"]):
        yield (
            f"{name} is worth {order['total_amount']} {order['currency']}, "
            f"but its payment is of {payment['amount']} {payment['currency']}."
        )
    if payment["customer_id"] != order["customer_id"]:
        yield f"{name} is of customer {order['customer_id']}, but customer {payment['customer_id']} was asked to pay."
    if payment["outcome_unknown"] or payment["lease"] is not None:
        yield f"{name}: its payment is {payment['status']}, but the gateway's answer is still awaited."


def _of_timeline(order: Row) -> Iterator[str]:
    """What is not as the order's state machine would have written it."""
    timeline = order["timeline"]
    events = [entry["event"] for entry in timeline]
    if not events or events[0] != "OrderCreated":
        yield "its timeline does not begin with OrderCreated"
        return
    status = "pending"
    for entry in timeline[1:]:
        event = entry["event"]
        if event in _NOTES:
            if entry["status"] != status or status not in ("failed", "cancelled"):
                yield f"its timeline has {event} while it was {status}"
        elif _STATUS_AFTER.get(event) != entry["status"] or (status, entry["status"]) not in _TRANSITIONS:
            yield f"its timeline goes from {status} to {entry['status']} by {event}"
        if event not in _NOTES:
            status = entry["status"]
            if status in FINAL and entry["reason"] != order["reason"]:
                yield f"its reason is {order['reason']}, but its timeline says {entry['reason']}"
    if status != order["status"]:
        yield f"it is {order['status']}, but its timeline ends with {status}"
    for event, times in Counter(events).items():
        if times > 1:
            yield f"its timeline has {event} {times} times"
    moments = [datetime.fromisoformat(entry["at"]) for entry in timeline]
    if moments != sorted(moments):
        yield "its timeline is not in the order of its times"


def _of_stock(books: Books, initial: Mapping[UUID, int]) -> Iterator[str]:
    held, sold = _sums(books.holds.values(), "held"), _sums(books.holds.values(), "sold")
    for product in sorted(books.items.keys() | held.keys() | sold.keys() | initial.keys()):
        item = books.items.get(product)
        if item is None:
            yield f"Product {product} has no item, though {held[product]} of it are held and {sold[product]} sold."
            continue
        available, reserved = item["quantity_available"], item["reserved_quantity"]
        if available < 0 or reserved < 0:
            yield f"Product {product} has {available} available and {reserved} reserved."
        if reserved != held[product]:
            yield f"Product {product} has {reserved} reserved, but its holds add up to {held[product]}."
        if product in initial and available + reserved + sold[product] != initial[product]:
            yield (
                f"Product {product} began with {initial[product]}, but {available} available, {reserved} reserved "
                f"and {sold[product]} sold make {available + reserved + sold[product]}."
            )


def _lines(row: Row) -> list[tuple[str, int, Decimal]]:
    return [(line["product_id"], line["quantity"], Decimal(line["price"])) for line in row["items"]]


def _sums(holds: Iterable[Row], status: str) -> Counter[UUID]:
    sums: Counter[UUID] = Counter()
    for hold in holds:
        if hold["status"] == status:
            for line in hold["items"]:
                sums[UUID(line["product_id"])] += line["quantity"]
    return sums


def main() -> int:
    url = os.environ.get("DATABASE_URL", "postgresql://postgres:postgres@localhost:5432/order_processing")
    books = asyncio.run(read(url))
    found = violations(books)
    for sentence in found:
        print(sentence)
    counts = ", ".join(f"{number} {status}" for status, number in Counter(_statuses(books)).most_common())
    print(f"{len(books.orders)} orders ({counts}): {f'{len(found)} violations' if found else 'the books agree'}.")
    return 1 if found else 0


def _statuses(books: Books) -> Iterator[str]:
    return (order["status"] for order in books.orders.values())


if __name__ == "__main__":
    sys.exit(main())
