"""A shop's three schemas as they should be: an order of every kind, rows in all tables, for tests to plant mistakes in
or to look for after a restore. Times are told from now, so it is as young as its last writing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import asyncpg  # type: ignore[import-untyped]  # it ships none
import orjson

from operations.addresses import ROOT
from operations.books.rows import LOST, payment_id

MIGRATED = tuple(ROOT / name for name in ("order-service", "inventory-service", "payment-service"))
"""The folders whose migrations make the schemas."""

CUSTOMER = UUID("5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11")
SOLD, ALSO_SOLD, NEVER_SOLD = UUID(int=1), UUID(int=2), UUID(int=3)
INITIAL = {SOLD: 100, ALSO_SOLD: 100, NEVER_SOLD: 100}
_LINES = ((SOLD, 2, "9.50"), (ALSO_SOLD, 1, "0.99"))
TOTAL = Decimal("19.99")
CANCELLED = "cancelled-by-customer"
TABLES = (
    "orders.orders",
    "orders.idempotency_keys",
    "inventory.reservations",
    "inventory.inventory_items",
    "inventory.stock_changes",
    "inventory.idempotency_keys",
    "payments.payments",
    *(f"{schema}.{table}" for schema in ("orders", "inventory", "payments") for table in ("inbox", "outbox")),
)

# Columns that must have a value, by table.
_NEEDED = """
    SELECT name, attname FROM unnest($1::text[]) AS name JOIN pg_attribute ON attrelid = name::regclass
    WHERE attnum > 0 AND attnotnull AND NOT atthasdef AND NOT attisdropped
"""

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How an order, its reservation and its payment stand; `changes` are to the payment's row."""

    order: str
    reason: str | None = None
    reservation: str | None = None
    payment: str | None = None
    changes: Values = field(default_factory=dict)


ENDED = {
    "paid": Kind("completed", None, "sold", "completed"),
    "paid at last": Kind("completed", None, "sold", "completed", {"attempts": 3, "charge_number": 2}),
    "out of stock": Kind("failed", "out-of-stock", "refused", "void"),
    "unknown product": Kind("failed", "unknown-product", "refused", "void"),
    "declined": Kind("failed", "payment-declined", "released", "failed"),
    "given up": Kind("failed", "payment-retries-exhausted", "released", "failed", {"attempts": 4, "charge_number": 4}),
    "cancelled unheard": Kind("cancelled", CANCELLED),
    "cancelled at once": Kind("cancelled", CANCELLED, "void", "void"),
    "cancelled unasked": Kind("cancelled", CANCELLED, "released", "cancelled", {"attempts": 0}),
    "cancelled between attempts": Kind("cancelled", CANCELLED, "released", "cancelled", {"charge_number": 2}),
    "refunded": Kind("cancelled", CANCELLED, "released", "refunded"),
    "cancelled by staff": Kind("cancelled", "cancelled-by-staff", "released", "refunded"),
    "expired": Kind("failed", "expired", "void", "void"),
    "expired while held": Kind("failed", "expired", "released", "void"),
    "lost": Kind("failed", LOST, "void", "refunded", {"attempts": 0}),
    "reported": Kind("failed", "payment-declined", "released", "refunded"),
}
OPEN = {
    "placed": Kind("pending"),
    "held": Kind("confirmed", None, "held"),
    "to be charged": Kind("confirmed", None, "held", "pending"),
    "being charged": Kind("confirmed", None, "held", "processing", {"outcome_unknown": True, "lease": UUID(int=9)}),
    "between attempts": Kind("confirmed", None, "held", "processing", {"charge_number": 2}),
    "being refunded": Kind("cancelled", CANCELLED, "released", "refunding"),
    "undone and unknown": Kind(
        "cancelled", CANCELLED, "released", "processing", {"outcome_unknown": True, "undone_reason": CANCELLED}
    ),
}
"""What moves, or may."""
KINDS = ENDED | OPEN


def order_id(name: str) -> UUID:
    return UUID(int=uuid5(CUSTOMER, name).int & ~(0xF << 76) | 7 << 76)


@dataclass(slots=True)
class Ledger:
    now: datetime
    rows: dict[str, list[Values]] = field(default_factory=lambda: {table: [] for table in TABLES})
    """By table."""

    def enter(self, name: str, kind: Kind, *, placed: datetime, changed: datetime | None = None) -> None:
        """An order of the kind, placed then; `changed` says when all of it was changed last."""
        expires_at = placed + timedelta(minutes=15)
        timeline = list(_timeline(kind, placed, expires_at))
        lines = [] if kind.reason == LOST else _LINES
        terms = {
            "customer_id": CUSTOMER,
            "currency": "USD",
            "expires_at": expires_at,
            "traceparent": f"00-{order_id(name).hex}-00f067aa0ba902b7-01",
            "created_at": placed,
            "updated_at": changed or datetime.fromisoformat(timeline[-1]["at"]),
        }
        order = terms | {
            "id": order_id(name),
            "items": [{"product_id": str(p), "quantity": n, "price": price} for p, n, price in lines],
            "total_amount": TOTAL,
            "status": kind.order,
            "reason": kind.reason,
            "timeline": timeline,
            "due_at": expires_at if kind.order in ("pending", "confirmed") else None,
            "remind_at": self.now if kind.order in ("pending", "confirmed") else None,
        }
        self.rows["orders.orders"].append(order)
        if kind.reservation is not None:
            self.rows["inventory.reservations"].append(_reservation(kind, order, terms))
        if kind.payment is not None:
            self.rows["payments.payments"].append(_payment(kind, order, terms, self.now) | kind.changes)

    def stock(self) -> None:
        """What the reservations leave of it."""
        for product, number in INITIAL.items():
            ordered = {line[0]: line[1] for line in _LINES}.get(product, 0)
            statuses = [reservation["status"] for reservation in self.rows["inventory.reservations"]]
            held, sold = ordered * statuses.count("held"), ordered * statuses.count("sold")
            item = {"id": UUID(int=product.int + 10), "product_id": product, "reserved_quantity": held}
            self.rows["inventory.inventory_items"].append(item | {"quantity_available": number - held - sold})

    def traffic(self) -> None:
        """What is on its way, and what remembers what came."""
        paid = order_id("paid")
        change = {"id": UUID(int=7), "product_id": SOLD, "difference": 1, "quantity_available": 1}
        self.rows["inventory.stock_changes"].append(change | {"created_at": self.now, "due_at": self.now})
        for schema, caller, key, made in (
            ("orders", str(CUSTOMER), "cart-4711", paid),
            ("inventory", "", "delivery-7", UUID(int=7)),
        ):
            self.rows[f"{schema}.idempotency_keys"].append(
                {"caller": caller, "key": key, "request_fingerprint": "\\x00ff", "resource_id": made}
            )
        for schema in ("orders", "inventory", "payments"):
            self.rows[f"{schema}.inbox"].append({"consumer": f"{schema}-service", "event_id": paid})
            self.rows[f"{schema}.outbox"].append(event(UUID(int=8), "paid", self.now))


def event(event_id: UUID, name: str, created_at: datetime) -> Values:
    """A row of an outbox."""
    told = {"type": "OrderCompleted", "routing_key": "order.completed", "body": '{"said": "naïvely \\"so\\""}'}
    return told | {"id": event_id, "order_id": str(order_id(name)), "created_at": created_at}


def whole(kinds: Iterable[str] = KINDS) -> Ledger:
    """An order of each kind: those that have ended two hours ago, the others five minutes ago."""
    ledger = Ledger(datetime.now(UTC))
    for name in kinds:
        ago = timedelta(hours=2) if name in ENDED else timedelta(minutes=5)
        ledger.enter(name, KINDS[name], placed=ledger.now - ago)
    ledger.stock()
    ledger.traffic()
    return ledger


async def write(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Instead of what is there."""
    async with connection.transaction():
        await connection.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))
        needed: dict[str, Values] = {}
        for table, column in await connection.fetch(_NEEDED, TABLES):
            needed.setdefault(table, {})[column] = CUSTOMER
        for table, rows in ledger.rows.items():
            if not rows:
                continue
            columns = ", ".join(needed.get(table, {}) | rows[0])  # no others, which have their defaults
            await connection.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, $1)",
                orjson.dumps([needed.get(table, {}) | row for row in rows], default=str).decode(),
            )


def _timeline(kind: Kind, placed: datetime, expires_at: datetime) -> Iterable[Values]:
    steps: list[tuple[str, str, str | None]] = [("OrderCreated", "pending", None)]
    if kind.reservation in ("held", "sold", "released") or kind.order == "confirmed":
        steps.append(("OrderConfirmed", "confirmed", None))
    if kind.order in ("completed", "failed", "cancelled"):
        steps.append((f"Order{kind.order.capitalize()}", kind.order, kind.reason))
    if kind.reservation == "released":
        steps.append(("InventoryReleased", kind.order, kind.reason))
    if kind.payment == "refunded":
        steps.append(("PaymentRefunded", kind.order, kind.reason))
    at = placed
    for name, status, reason in steps:
        if reason == "expired":
            at = max(at, expires_at)
        yield {"at": at.isoformat(), "event": name, "status": status, "reason": reason}
        at += timedelta(seconds=1)


def _reservation(kind: Kind, order: Values, terms: Values) -> Values:
    tombstone = kind.reservation == "void"
    lines = [line | {"price": str(float(line["price"]))} for line in order["items"]]
    return terms | {
        "order_id": order["id"],
        "status": kind.reservation,
        "reason": kind.reason if kind.reservation in ("refused", "released") else None,
        "items": None if tombstone else lines,
        "total_amount": None if tombstone else TOTAL,
        "currency": None if tombstone else "USD",
        "due_at": terms["expires_at"] + timedelta(days=7) if kind.reservation == "void" else None,
        "remind_at": terms["updated_at"] + timedelta(minutes=1) if kind.reservation == "held" else None,
    }


def _payment(kind: Kind, order: Values, terms: Values, now: datetime) -> Values:
    tombstone, undone = kind.payment == "void", kind.payment in ("cancelled", "refunding", "refunded")
    return terms | {
        "id": payment_id(order["id"]),
        "order_id": order["id"],
        "status": kind.payment,
        "reason": kind.reason if undone or kind.payment == "failed" else None,
        "amount": None if tombstone else TOTAL,
        "currency": None if tombstone else "USD",
        "charge_number": 1,
        "outcome_unknown": False,
        "lease": None,
        "attempts": 0 if kind.payment in ("void", "pending") else 1,
        "undone_reason": kind.reason if kind.payment in ("refunding", "refunded") else None,
        "due_at": {
            "void": terms["expires_at"] + timedelta(days=7),
            **dict.fromkeys(("pending", "processing", "refunding"), now),
        }.get(kind.payment or ""),
    }
