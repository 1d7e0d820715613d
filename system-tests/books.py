"""The books: whether orders, stock, holds and payments agree, what is overdue, and what needs attention.

    DATABASE_URL=postgresql://postgres:postgres@localhost:5432/order_processing python books.py

says so of a running shop, a sentence each, and exits with status 1 if anything disagrees or is overdue; book_rules.py
says what that means. `--settled` is for a shop at rest: whatever is open is then a disagreement. `--metrics` prints the
figures for Prometheus instead. It reads all three schemas as the role `auditor`, in one snapshot, row by row: its
memory grows with the products, not with the orders.
"""

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import orjson
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from book_rules import ATTENTION, FINAL, OPEN, OVERDUE, Audit, Entry, Outbox, Row

_SCHEMAS = ("orders", "inventory", "payments")
_ENTRIES = """
    SELECT o, h, p FROM orders.orders o
    FULL JOIN inventory.holds h ON h.order_id = o.id
    FULL JOIN payments.payments p ON p.order_id = coalesce(o.id, h.order_id)
"""
_ROWS_AT_A_TIME = 500


@dataclass(slots=True)
class Books:
    """The books in memory, to look things up in."""

    orders: dict[UUID, Row] = field(default_factory=dict)
    holds: dict[UUID, Row] = field(default_factory=dict)
    """By order id."""
    payments: dict[UUID, Row] = field(default_factory=dict)
    """By order id."""
    items: dict[UUID, Row] = field(default_factory=dict)
    """By product id."""
    outboxes: dict[str, int] = field(default_factory=dict)
    """How many events wait in each schema."""
    oldest: dict[str, datetime] = field(default_factory=dict)
    """Since when the oldest of them waits, in those that are not empty."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def entries(self) -> Iterator[Entry]:
        for order_id in self.orders.keys() | self.holds.keys() | self.payments.keys():
            yield Entry(self.orders.get(order_id), self.holds.get(order_id), self.payments.get(order_id))


async def read(database_url: str) -> Books:
    """The books as they stand. The URL's user must be an administrator, or a member of `auditor`."""
    async with _snapshot(database_url) as connection:
        books = Books(now=await connection.fetchval("SELECT now()"), items=await _items(connection))
        async for entry in _entries(connection):
            if entry.order is not None:
                books.orders[entry.order["id"]] = entry.order
            if entry.hold is not None:
                books.holds[entry.hold["order_id"]] = entry.hold
            if entry.payment is not None:
                books.payments[entry.payment["order_id"]] = entry.payment
        for schema, outbox in (await _outboxes(connection)).items():
            books.outboxes[schema] = outbox.waiting
            if outbox.oldest is not None:
                books.oldest[schema] = outbox.oldest
    return books


async def entries(database_url: str) -> AsyncIterator[Entry]:
    """The books order by order, in one snapshot."""
    async with _snapshot(database_url) as connection:
        async for entry in _entries(connection):
            yield entry


def check(books: Books, initial: Mapping[UUID, int] | None = None, *, settled: bool) -> Audit:
    """What examine() finds, in books that are in memory."""
    audit = Audit(books.now, settled)
    for entry in books.entries():
        audit.take(entry)
    audit.take_stock(books.items, initial or {})
    audit.take_outboxes({name: Outbox(number, books.oldest.get(name)) for name, number in books.outboxes.items()})
    return audit


async def examine(database_url: str, initial: Mapping[UUID, int] | None = None, *, settled: bool) -> Audit:
    """What is wrong as the books stand. `initial` says what there was of each product before its first order."""
    async with _snapshot(database_url) as connection:
        audit = Audit(await connection.fetchval("SELECT now()"), settled)
        async for entry in _entries(connection):
            audit.take(entry)
        audit.take_stock(await _items(connection), initial or {})
        audit.take_outboxes(await _outboxes(connection))
    return audit


def violations(books: Books, initial: Mapping[UUID, int] | None = None) -> list[str]:
    """What does not agree though nothing moves any more, a sentence each."""
    return [finding.sentence for finding in check(books, initial, settled=True).findings]


async def audit(database_url: str, initial: Mapping[UUID, int] | None = None) -> list[str]:
    """What does not agree though nothing moves any more, a sentence each."""
    return [finding.sentence for finding in (await examine(database_url, initial, settled=True)).findings]


@asynccontextmanager
async def _snapshot(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""), timeout=10)
    try:
        # A whole row is read in the binary format, in which a jsonb value is its text behind the number of its version.
        await connection.set_type_codec(
            "jsonb",
            encoder=orjson.dumps,
            decoder=lambda value: orjson.loads(value[1:]),
            schema="pg_catalog",
            format="binary",
        )
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL ROLE auditor")
            yield connection
    finally:
        await connection.close()


async def _entries(connection: asyncpg.Connection) -> AsyncIterator[Entry]:
    async for row in connection.cursor(_ENTRIES, prefetch=_ROWS_AT_A_TIME):
        yield Entry(*row)


async def _items(connection: asyncpg.Connection) -> dict[UUID, Row]:
    query = "SELECT product_id, quantity_available, reserved_quantity FROM inventory.inventory_items"
    return {row["product_id"]: row for row in await connection.fetch(query)}


async def _outboxes(connection: asyncpg.Connection) -> dict[str, Outbox]:
    return {
        schema: Outbox(*await connection.fetchrow(f"SELECT count(*), min(created_at) FROM {schema}.outbox"))
        for schema in _SCHEMAS
    }


def metrics(audit: Audit) -> str:
    """The figures in Prometheus' text format."""
    registry = CollectorRegistry()
    orders = Gauge("books_orders", "Orders by status", ("status",), registry=registry)
    for status in sorted(OPEN | FINAL):
        orders.labels(status).set(audit.statuses[status])
    Gauge("books_open_orders", "Orders that are not final", registry=registry).set(
        sum(audit.statuses[status] for status in OPEN)
    )
    found = Counter(finding.kind for finding in audit.findings)
    Gauge("books_violations", "Disagreements between the services", registry=registry).set(found["violation"])
    for name, text, kinds in (
        ("books_overdue", "What should have happened by now", OVERDUE),
        ("books_attention", "What a person should look at", ATTENTION),
    ):
        gauge = Gauge(name, text, ("kind",), registry=registry)
        for kind in kinds:
            gauge.labels(kind).set(found[kind])
    Gauge("books_read_timestamp_seconds", "When the books were read", registry=registry).set(audit.now.timestamp())
    return generate_latest(registry).decode()


def report(audit: Audit) -> str:
    headings = {"violation": "Does not agree:", "overdue": "Overdue:", "attention": "Needs attention:"}
    lines = []
    for severity, heading in headings.items():
        sentences = [f"  {finding.sentence}" for finding in audit.findings if finding.severity == severity]
        lines += [heading, *sentences] if sentences else []
    found = Counter(finding.severity for finding in audit.findings)
    counts = ", ".join(f"{number} {status}" for status, number in audit.statuses.most_common()) or "none"
    figures = f"{found['violation']} violations, {found['overdue']} overdue" if audit.alarming else "the books agree"
    attention = f", {found['attention']} need attention" if found["attention"] else ""
    return "\n".join([*lines, f"{audit.statuses.total()} orders ({counts}): {figures}{attention}."])


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether orders, stock, holds and payments agree.")
    parser.add_argument("--settled", action="store_true", help="nothing should move any more: all has to be final")
    parser.add_argument("--metrics", action="store_true", help="print the figures for Prometheus; the status is then 0")
    options = parser.parse_args()
    url = os.environ.get("DATABASE_URL", "postgresql://postgres:postgres@localhost:5432/order_processing")
    try:
        audit = asyncio.run(examine(url, settled=options.settled))
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        print(f"The database does not answer ({error}): is the system up?", file=sys.stderr)
        return 2
    if options.metrics:
        print(metrics(audit), end="")
        return 0
    print(report(audit))
    return 1 if audit.alarming else 0


if __name__ == "__main__":
    sys.exit(main())
