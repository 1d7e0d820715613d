"""Holds in PostgreSQL: one statement for a whole batch, with explicit mapping to and from the aggregate."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from chassis.bulk import among_ids, delete_in_batches, deletion, json_rows
from sqlalchemy import Row, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from application.ports import NewHold
from domain.events import Line
from domain.hold import Demand, Hold, Status
from infrastructure.tables import holds

# Nobody sees the new rows as what they are written as: the transaction that makes them changes each of them.
_MAKE = text(
    """
    INSERT INTO holds (order_id, customer_id, status, expires_at, traceparent)
    SELECT order_id, customer_id, 'void', expires_at, traceparent
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        order_id uuid, customer_id uuid, expires_at timestamptz, traceparent text)
    ORDER BY order_id
    ON CONFLICT (order_id) DO NOTHING RETURNING *
    """
)
_SAVE = text(
    """
    UPDATE holds SET status = r.status, reason = r.reason, items = r.items, total_amount = r.total_amount,
                     currency = r.currency, due_at = r.due_at, reminders = r.reminders, updated_at = r.updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        order_id uuid, status text, reason text, items jsonb, total_amount numeric, currency text, due_at timestamptz,
        reminders int, updated_at timestamptz)
    WHERE holds.order_id = ANY(CAST(:ids AS uuid[])) AND holds.order_id = r.order_id
    """
)
_PRUNE = deletion("holds", "status = 'void' AND due_at < now()")

_LOCKED = select(holds).where(among_ids(holds.c.order_id)).order_by(holds.c.order_id).with_for_update()
_LOCKED_DUE = (
    select(holds)
    .where(holds.c.due_at <= func.now(), holds.c.status == Status.HELD)
    .order_by(holds.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


class PostgresHolds:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def locked(self, ids: Sequence[UUID], absent: Sequence[NewHold]) -> dict[UUID, Hold]:
        found: dict[UUID, Hold] = {}
        if absent:
            first = {new.order_id: new for new in reversed(absent)}
            for row in await self._connection.execute(_MAKE, {"rows": json_rows(first.values())}):
                found[row.order_id] = _to_hold(row)
                found[row.order_id].status = Status.NEW
        if others := set(ids) - found.keys():
            rows = await self._connection.execute(_LOCKED, {"ids": list(others)})
            found |= {row.order_id: _to_hold(row) for row in rows}
        return found

    async def locked_due(self, limit: int) -> list[Hold]:
        return [_to_hold(row) for row in await self._connection.execute(_LOCKED_DUE, {"most": limit})]

    async def save(self, changed: Sequence[Hold]) -> None:
        if changed:
            rows = json_rows(_changes(hold) for hold in changed)
            await self._connection.execute(_SAVE, {"ids": [hold.order_id for hold in changed], "rows": rows})


async def prune_tombstones(connection: AsyncConnection) -> None:
    """Forgets the tombstones of orders whose events can't come any more: no OrderCreated holds past its deadline."""
    await delete_in_batches(connection, _PRUNE)


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
        "reminders": hold.reminders,
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
        reminders=row.reminders,
        traceparent=row.traceparent,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
