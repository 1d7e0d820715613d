"""Orders in PostgreSQL: one statement for a whole batch, with explicit mapping to and from the aggregate."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from chassis.bulk import among_ids, json_rows
from sqlalchemy import Column, Executable, Row, Select, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.events import Line
from domain.order import Order, Status, TimelineEntry
from infrastructure.tables import orders

_ADD = text(
    """
    INSERT INTO orders (id, customer_id, items, total_amount, currency, status, reason, timeline, expires_at, due_at,
                        remind_at, created_at, updated_at, traceparent)
    SELECT id, customer_id, items, total_amount, currency, status, reason, timeline, expires_at, due_at,
           remind_at, created_at, updated_at, traceparent
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        id uuid, customer_id uuid, items jsonb, total_amount numeric, currency text, status text, reason text,
        timeline jsonb, expires_at timestamptz, due_at timestamptz, remind_at timestamptz, created_at timestamptz,
        updated_at timestamptz, traceparent text)
    """
)
_SAVE = text(
    """
    UPDATE orders SET status = r.status, reason = r.reason, timeline = r.timeline, due_at = r.due_at,
                      remind_at = r.remind_at, updated_at = r.updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        id uuid, status text, reason text, timeline jsonb, due_at timestamptz, remind_at timestamptz,
        updated_at timestamptz)
    WHERE orders.id = ANY(CAST(:ids AS uuid[])) AND orders.id = r.id
    """
)

_WITH_IDS = select(orders).where(among_ids(orders.c.id))
_LOCKED = _WITH_IDS.order_by(orders.c.id).with_for_update()


def _locked_past(due: Column[Any]) -> Select[Any]:
    return (
        select(orders).where(due <= func.now()).order_by(due).limit(bindparam("most")).with_for_update(skip_locked=True)
    )


_LOCKED_OVERDUE = _locked_past(orders.c.due_at)
_LOCKED_TO_REMIND = _locked_past(orders.c.remind_at)


class PostgresOrders:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, added: Sequence[Order]) -> None:
        if added:
            await self._connection.execute(_ADD, {"rows": json_rows(_to_row(order) for order in added)})

    async def save(self, changed: Sequence[Order]) -> None:
        if changed:
            rows = json_rows(_changes(order) for order in changed)
            await self._connection.execute(_SAVE, {"ids": [order.id for order in changed], "rows": rows})

    async def locked(self, ids: Sequence[UUID]) -> dict[UUID, Order]:
        return await self._by_id(_LOCKED, ids=list(set(ids)))

    async def get(self, ids: Sequence[UUID]) -> dict[UUID, Order]:
        return await self._by_id(_WITH_IDS, ids=list(set(ids)))

    async def locked_overdue(self, limit: int) -> list[Order]:
        return list((await self._by_id(_LOCKED_OVERDUE, most=limit)).values())

    async def locked_to_remind(self, limit: int) -> list[Order]:
        return list((await self._by_id(_LOCKED_TO_REMIND, most=limit)).values())

    async def of_customer(self, customer_id: UUID, *, before: UUID | None, limit: int) -> list[Order]:
        """The customer's orders, newest first, from below the id `before` on."""
        query = select(orders).where(orders.c.customer_id == customer_id).order_by(orders.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(orders.c.id < before)
        return list((await self._by_id(query)).values())

    async def _by_id(self, query: Executable, **parameters: object) -> dict[UUID, Order]:
        return {row.id: _to_order(row) for row in await self._connection.execute(query, parameters)}


def _to_row(order: Order) -> dict[str, object]:
    return {
        **_changes(order),
        "customer_id": order.customer_id,
        "items": order.items,
        "total_amount": order.total_amount,
        "currency": order.currency,
        "expires_at": order.expires_at,
        "created_at": order.created_at,
        "traceparent": order.traceparent,
    }


def _changes(order: Order) -> dict[str, object]:
    return {
        "id": order.id,
        "status": order.status,
        "reason": order.reason,
        "timeline": order.timeline,
        "due_at": None if order.is_final else order.expires_at,
        "remind_at": order.remind_at,
        "updated_at": order.updated_at,
    }


def _to_order(row: Row[Any]) -> Order:
    return Order(
        id=row.id,
        customer_id=row.customer_id,
        items=tuple(
            Line(UUID(line["product_id"]), line["quantity"], Decimal(line["price"])) for line in row._mapping["items"]
        ),
        total_amount=row.total_amount,
        currency=row.currency,
        status=Status(row.status),
        reason=row.reason,
        expires_at=row.expires_at,
        remind_at=row.remind_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        timeline=[
            TimelineEntry(datetime.fromisoformat(entry["at"]), entry["event"], entry["status"], entry["reason"])
            for entry in row.timeline
        ],
        traceparent=row.traceparent,
    )
