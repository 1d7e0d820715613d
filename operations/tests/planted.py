"""A real database in order but for what a test plants in it, and small statements to plant."""

from collections.abc import Mapping
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none

from operations import books
from operations.books.rules import Audit
from tests import ledger

# The books must see what the constraints would refuse: whoever writes beside the services may have dropped one.
_CHECKS = """
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
    WHERE contype = 'c' AND connamespace::regnamespace::text IN ('orders', 'inventory', 'payments')
"""

# Stock as the reservations have it.
BALANCE = """
    UPDATE inventory.inventory_items i SET reserved_quantity = held, quantity_available = 100 - held - sold
    FROM (
        SELECT product_id, coalesce(sum(quantity) FILTER (WHERE status = 'held'), 0) AS held,
               coalesce(sum(quantity) FILTER (WHERE status = 'sold'), 0) AS sold
        FROM inventory.inventory_items
        LEFT JOIN (
            SELECT status, (line ->> 'product_id')::uuid AS product_id, (line ->> 'quantity')::integer AS quantity
            FROM inventory.reservations, jsonb_array_elements(items) AS line
        ) AS lines USING (product_id)
        GROUP BY product_id
    ) AS sums WHERE sums.product_id = i.product_id
"""


class Planted:
    def __init__(self, url: str, connection: asyncpg.Connection) -> None:
        self.url = url
        self._connection = connection

    @classmethod
    async def prepared(cls, url: str) -> "Planted":
        """In a database that the migrations made, and that nobody else uses."""
        parameters = {"synchronous_commit": "off"}
        planted = cls(url, await asyncpg.connect(url.replace("+asyncpg", ""), server_settings=parameters))
        await planted.write(ledger.whole())  # which the constraints allow
        await planted.plant(*[row[0] for row in await planted._connection.fetch(_CHECKS)])
        return planted

    async def close(self) -> None:
        await self._connection.close()

    async def write(self, whole: ledger.Ledger) -> None:
        await ledger.write(self._connection, whole)

    async def plant(self, *statements: str) -> None:
        """In a statement {name} stands for the id of the order of that kind."""
        for statement in statements:
            for name in ledger.KINDS:
                statement = statement.replace(f"{{{name}}}", f"'{ledger.order_id(name)}'")
            await self._connection.execute(statement)

    async def audit(self, initial: Mapping[UUID, int] = ledger.INITIAL, *, settled: bool = False) -> Audit:
        return await books.examine(self.url, initial, settled=settled)


def order(name: str, change: str) -> str:
    return f"UPDATE orders.orders SET {change} WHERE id = {{{name}}}; "


def reservation(name: str, change: str) -> str:
    return f"UPDATE inventory.reservations SET {change} WHERE order_id = {{{name}}}; "


def payment(name: str, change: str) -> str:
    return f"UPDATE payments.payments SET {change} WHERE order_id = {{{name}}}; "


def line(name: str, number: int, field: str, value: str) -> str:
    """Another value in a line of the timeline."""
    return order(name, f"timeline = jsonb_set(timeline, '{{{number},{field}}}', '{value}')")


def item(product: UUID, change: str) -> str:
    return f"UPDATE inventory.inventory_items SET {change} WHERE product_id = '{product}'; "


def without(table: str, name: str) -> str:
    key = "id" if table == "orders.orders" else "order_id"
    return f"DELETE FROM {table} WHERE {key} = {{{name}}}; "


def event(schema: str, age: str = "interval '0 s'", of: str = "{paid}") -> str:
    """A row in an outbox."""
    return (
        f"INSERT INTO {schema}.outbox (id, type, routing_key, order_id, body, created_at) "
        f"VALUES (gen_random_uuid(), 'OrderCompleted', 'order.completed', {of}, '', now() - {age}); "
    )


def key(of: str) -> str:
    """A second idempotency key, with what else the first one has."""
    row = f"""('{{"key": "cart-4712", "resource_id": "' || {of} || '"}}')::jsonb"""
    return (
        f"INSERT INTO orders.idempotency_keys "
        f"SELECT (jsonb_populate_record(k, {row})).* FROM orders.idempotency_keys k; "
    )
