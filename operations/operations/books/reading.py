"""Reads all three schemas as the role `auditor`, in one snapshot, row by row: memory grows with the products, not with
the orders."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import orjson

from operations.addresses import SCHEMAS
from operations.books.rows import Row
from operations.books.rules import Audit, Entry, Outbox

_ENTRIES = """
    SELECT o, r, p FROM orders.orders o
    FULL JOIN inventory.reservations r ON r.order_id = o.id
    FULL JOIN payments.payments p ON p.order_id = coalesce(o.id, r.order_id)
"""
# One key makes one order, in one transaction.
_WRONG_KEYS = """
    SELECT k.resource_id, count(*), bool_and(o.id IS NOT NULL)
    FROM orders.idempotency_keys k LEFT JOIN orders.orders o ON o.id = k.resource_id
    GROUP BY k.resource_id HAVING count(*) > 1 OR NOT bool_and(o.id IS NOT NULL)
"""
_OUTBOX = """
    SELECT count(*), min(b.created_at), count(*) FILTER (WHERE o.id IS NULL)
    FROM {schema}.outbox b LEFT JOIN orders.orders o ON o.id::text = b.order_id
"""
_ROWS_AT_A_TIME = 500


@dataclass(slots=True)
class Books:
    """The books in memory, to look things up in."""

    orders: dict[UUID, Row] = field(default_factory=dict)
    reservations: dict[UUID, Row] = field(default_factory=dict)
    """By order id."""
    payments: dict[UUID, Row] = field(default_factory=dict)
    """By order id."""
    outboxes: dict[str, int] = field(default_factory=dict)
    """How many events wait in each schema."""


async def read(database_url: str) -> Books:
    """The books as they stand. The URL's user must be an administrator, or a member of `auditor`."""
    async with _snapshot(database_url) as connection:
        books = Books()
        async for entry in _entries(connection):
            if entry.order is not None:
                books.orders[entry.order["id"]] = entry.order
            if entry.reservation is not None:
                books.reservations[entry.reservation["order_id"]] = entry.reservation
            if entry.payment is not None:
                books.payments[entry.payment["order_id"]] = entry.payment
        books.outboxes = {schema: outbox.waiting for schema, outbox in (await _outboxes(connection)).items()}
    return books


async def entries(database_url: str) -> AsyncIterator[Entry]:
    """The books order by order, in one snapshot."""
    async with _snapshot(database_url) as connection:
        async for entry in _entries(connection):
            yield entry


async def counts(database_url: str) -> dict[str, int]:
    """How many orders have each status now."""
    async with _snapshot(database_url) as connection:
        return dict(await connection.fetch("SELECT status, count(*) FROM orders.orders GROUP BY status"))


async def examine(database_url: str, initial: Mapping[UUID, int] | None = None, *, settled: bool) -> Audit:
    """What is wrong as the books stand. `initial` says what there was of each product before its first order."""
    async with _snapshot(database_url) as connection:
        audit = Audit(await connection.fetchval("SELECT now()"), await _items(connection), settled)
        async for entry in _entries(connection):
            audit.take(entry)
        audit.take_stock(initial or {})
        audit.take_keys(await _keys(connection))
        audit.take_outboxes(await _outboxes(connection))
    return audit


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
    query = "SELECT product_id, quantity_available, reserved_quantity, price, priced_at FROM inventory.inventory_items"
    return {row["product_id"]: row for row in await connection.fetch(query)}


async def _keys(connection: asyncpg.Connection) -> dict[UUID, tuple[int, bool]]:
    return {order_id: (number, exists) for order_id, number, exists in await connection.fetch(_WRONG_KEYS)}


async def _outboxes(connection: asyncpg.Connection) -> dict[str, Outbox]:
    return {schema: Outbox(*await connection.fetchrow(_OUTBOX.format(schema=schema))) for schema in SCHEMAS}
