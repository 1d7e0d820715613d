"""Holds in PostgreSQL: one statement for a whole batch, with explicit mapping to and from the aggregate."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from chassis.postgres.bulk import among_ids, delete_in_batches, deletion, insert_absent, json_rows
from sqlalchemy import Row, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.events import Line
from domain.hold import Demand, Hold, Status
from infrastructure.tables import holds

_ADD = text(
    """
    INSERT INTO holds (order_id, customer_id, status, reason, items, total_amount, currency, expires_at, due_at,
                       remind_at, traceparent, created_at, updated_at)
    SELECT order_id, customer_id, status, reason, items, total_amount, currency, expires_at, due_at,
           remind_at, traceparent, created_at, updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        order_id uuid, customer_id uuid, status text, reason text, items jsonb, total_amount numeric, currency text,
        expires_at timestamptz, due_at timestamptz, remind_at timestamptz, traceparent text,
        created_at timestamptz, updated_at timestamptz)
    ORDER BY order_id
    ON CONFLICT (order_id) DO NOTHING
    """
)
_SAVE = text(
    """
    UPDATE holds SET status = r.status, reason = r.reason, items = r.items, total_amount = r.total_amount,
                     currency = r.currency, due_at = r.due_at, remind_at = r.remind_at, updated_at = r.updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        order_id uuid, status text, reason text, items jsonb, total_amount numeric, currency text, due_at timestamptz,
        remind_at timestamptz, updated_at timestamptz)
    WHERE holds.order_id = ANY(CAST(:ids AS uuid[])) AND holds.order_id = r.order_id
    """
)
_PRUNE = deletion("holds", "status = 'void' AND due_at < now()")

_LOCKED = select(holds).where(among_ids(holds.c.order_id)).order_by(holds.c.order_id).with_for_update()
_LOCKED_TO_REMIND = (
    select(holds)
    .where(holds.c.remind_at <= func.now())
    .order_by(holds.c.remind_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


class PostgresHolds:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def locked(self, order_ids: Sequence[UUID]) -> dict[UUID, Hold]:
        rows = await self._connection.execute(_LOCKED, {"ids": list(set(order_ids))})
        return {row.order_id: _to_hold(row) for row in rows}

    async def locked_to_remind(self, limit: int) -> list[Hold]:
        return [_to_hold(row) for row in await self._connection.execute(_LOCKED_TO_REMIND, {"most": limit})]

    async def add(self, added: Sequence[Hold]) -> None:
        await insert_absent(self._connection, _ADD, [_to_row(hold) for hold in added])

    async def save(self, changed: Sequence[Hold]) -> None:
        if changed:
            rows = json_rows(_changes(hold) for hold in changed)
            await self._connection.execute(_SAVE, {"ids": [hold.order_id for hold in changed], "rows": rows})


async def prune_tombstones(connection: AsyncConnection) -> None:
    """Forgets the tombstones of orders whose events can't come any more: no OrderCreated holds past its deadline."""
    await delete_in_batches(connection, _PRUNE)


def _to_row(hold: Hold) -> dict[str, object]:
    return {
        **_changes(hold),
        "customer_id": hold.customer_id,
        "expires_at": hold.expires_at,
        "traceparent": hold.traceparent,
        "created_at": hold.created_at,
    }


def _changes(hold: Hold) -> dict[str, object]:
    demand = hold.demand
    return {
        "order_id": hold.order_id,
        "status": hold.status,
        "reason": hold.reason,
        "items": demand and demand.items,
        "total_amount": demand and demand.total_amount,
        "currency": demand and demand.currency,
        "due_at": hold.due_at,
        "remind_at": hold.remind_at,
        "updated_at": hold.updated_at,
    }


def _to_hold(row: Row[Any]) -> Hold:
    demand = None
    if (lines := row._mapping["items"]) is not None:
        items = tuple(Line(UUID(line["product_id"]), line["quantity"], Decimal(line["price"])) for line in lines)
        demand = Demand(items, row.total_amount, row.currency)
    return Hold(
        order_id=row.order_id,
        customer_id=row.customer_id,
        status=Status(row.status),
        reason=row.reason,
        demand=demand,
        expires_at=row.expires_at,
        due_at=row.due_at,
        remind_at=row.remind_at,
        traceparent=row.traceparent,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
