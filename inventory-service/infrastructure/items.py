"""Items in PostgreSQL: one statement for a whole batch, with explicit mapping to and from the aggregate."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chassis.postgres.bulk import among_ids, json_rows
from chassis.ports.ids import uuid7
from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.item import Item
from infrastructure.tables import inventory_items

_MAKE = text(
    """
    INSERT INTO inventory_items (id, product_id, quantity_available, reserved_quantity)
    SELECT id, product_id, 0, 0 FROM unnest(CAST(:ids AS uuid[]), CAST(:product_ids AS uuid[])) AS r (id, product_id)
    ON CONFLICT (product_id) DO NOTHING RETURNING product_id
    """
)
_SAVE = text(
    """
    UPDATE inventory_items SET quantity_available = r.quantity_available, reserved_quantity = r.reserved_quantity,
                               updated_at = r.updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        id uuid, quantity_available bigint, reserved_quantity bigint, updated_at timestamptz)
    WHERE inventory_items.id = ANY(CAST(:ids AS uuid[])) AND inventory_items.id = r.id
    """
)
_LOCKED = (
    select(inventory_items)
    .where(among_ids(inventory_items.c.product_id))
    .order_by(inventory_items.c.product_id)
    .with_for_update()
)


class PostgresItems:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def make(self, product_ids: Sequence[UUID]) -> set[UUID]:
        wanted = sorted(product_ids)
        made = await self._connection.execute(_MAKE, {"ids": [uuid7() for _ in wanted], "product_ids": wanted})
        return set(made.scalars())

    async def locked(self, product_ids: Sequence[UUID]) -> dict[UUID, Item]:
        if not product_ids:
            return {}
        rows = await self._connection.execute(_LOCKED, {"ids": list(product_ids)})
        return {row.product_id: _to_item(row) for row in rows}

    async def save(self, changed: Sequence[Item]) -> None:
        if changed:
            rows = json_rows(_changes(item) for item in changed)
            await self._connection.execute(_SAVE, {"ids": [item.id for item in changed], "rows": rows})

    async def get(self, product_id: UUID) -> Item | None:
        query = select(inventory_items).where(inventory_items.c.product_id == product_id)
        row = (await self._connection.execute(query)).first()
        return None if row is None else _to_item(row)

    async def listed(self, *, before: UUID | None, limit: int) -> list[Item]:
        """Items, newest first, from below the id `before` on."""
        query = select(inventory_items).order_by(inventory_items.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(inventory_items.c.id < before)
        return [_to_item(row) for row in await self._connection.execute(query)]


def _changes(item: Item) -> dict[str, object]:
    return {
        "id": item.id,
        "quantity_available": item.quantity_available,
        "reserved_quantity": item.reserved_quantity,
        "updated_at": item.updated_at,
    }


def _to_item(row: Row[Any]) -> Item:
    return Item(
        id=row.id,
        product_id=row.product_id,
        quantity_available=row.quantity_available,
        reserved_quantity=row.reserved_quantity,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
