"""Payments in PostgreSQL: one statement for a whole batch, with explicit mapping to and from the aggregate."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chassis.bulk import among_ids, delete_in_batches, deletion, json_rows
from sqlalchemy import Row, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from application.ports import NewPayment
from domain.payment import Payment, Status, payment_id
from infrastructure.tables import payments

# Nobody sees the new rows as what they are written as: the transaction that makes them changes each of them. Two that
# make the same one conflict in its id as well as in its order's, so the conflict has no target.
_MAKE = text(
    """
    INSERT INTO payments (id, order_id, customer_id, status, expires_at, traceparent)
    SELECT id, order_id, customer_id, 'void', expires_at, traceparent
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        id uuid, order_id uuid, customer_id uuid, expires_at timestamptz, traceparent text)
    ORDER BY order_id
    ON CONFLICT DO NOTHING RETURNING *
    """
)
_SAVE = text(
    """
    UPDATE payments SET amount = r.amount, currency = r.currency, status = r.status, reason = r.reason,
                        attempts = r.attempts, charge_number = r.charge_number, outcome_unknown = r.outcome_unknown,
                        waits = r.waits, undone_reason = r.undone_reason, due_at = r.due_at, lease = r.lease,
                        updated_at = r.updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        id uuid, amount numeric, currency text, status text, reason text, attempts int, charge_number int,
        outcome_unknown boolean, waits int, undone_reason text, due_at timestamptz, lease uuid, updated_at timestamptz)
    WHERE payments.id = ANY(CAST(:ids AS uuid[])) AND payments.id = r.id
    """
)
_PRUNE = deletion("payments", "status = 'void' AND due_at < now()")
_VISIBLE = payments.c.status != Status.VOID
_LOCKED = select(payments).where(among_ids(payments.c.order_id)).order_by(payments.c.order_id).with_for_update()
_LOCKED_DUE = (
    select(payments)
    .where(payments.c.due_at <= func.now(), _VISIBLE)
    .order_by(payments.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


class PostgresPayments:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def locked(self, order_ids: Sequence[UUID], absent: Sequence[NewPayment]) -> dict[UUID, Payment]:
        found: dict[UUID, Payment] = {}
        if absent:
            first = {new.order_id: _to_row(new) for new in reversed(absent)}
            for row in await self._connection.execute(_MAKE, {"rows": json_rows(first.values())}):
                found[row.order_id] = _to_payment(row)
                found[row.order_id].status = Status.NEW
        if others := set(order_ids) - found.keys():
            rows = await self._connection.execute(_LOCKED, {"ids": list(others)})
            found |= {row.order_id: _to_payment(row) for row in rows}
        return found

    async def locked_due(self, limit: int) -> list[Payment]:
        return [_to_payment(row) for row in await self._connection.execute(_LOCKED_DUE, {"most": limit})]

    async def save(self, changed: Sequence[Payment]) -> None:
        if changed:
            rows = json_rows(_changes(payment) for payment in changed)
            await self._connection.execute(_SAVE, {"ids": [payment.id for payment in changed], "rows": rows})

    async def get(self, payment_id: UUID) -> Payment | None:
        return await self._first(payments.c.id == payment_id)

    async def of_order(self, order_id: UUID) -> Payment | None:
        return await self._first(payments.c.order_id == order_id)

    async def _first(self, condition: Any) -> Payment | None:
        row = (await self._connection.execute(select(payments).where(condition, _VISIBLE))).first()
        return None if row is None else _to_payment(row)


async def prune_tombstones(connection: AsyncConnection) -> None:
    """Forgets the tombstones of orders whose events can't come any more: no charge begins past an order's deadline."""
    await delete_in_batches(connection, _PRUNE)


def _to_row(new: NewPayment) -> dict[str, object]:
    return {
        "id": payment_id(new.order_id),
        "order_id": new.order_id,
        "customer_id": new.customer_id,
        "expires_at": new.expires_at,
        "traceparent": new.traceparent,
    }


def _changes(payment: Payment) -> dict[str, object]:
    return {
        "id": payment.id,
        "amount": payment.amount,
        "currency": payment.currency,
        "status": payment.status,
        "reason": payment.reason,
        "attempts": payment.attempts,
        "charge_number": payment.charge_number,
        "outcome_unknown": payment.outcome_unknown,
        "waits": payment.waits,
        "undone_reason": payment.undone_reason,
        "due_at": payment.due_at,
        "lease": payment.lease,
        "updated_at": payment.updated_at,
    }


def _to_payment(row: Row[Any]) -> Payment:
    return Payment(
        id=row.id,
        order_id=row.order_id,
        customer_id=row.customer_id,
        amount=row.amount,
        currency=row.currency,
        status=Status(row.status),
        reason=row.reason,
        attempts=row.attempts,
        charge_number=row.charge_number,
        outcome_unknown=row.outcome_unknown,
        waits=row.waits,
        undone_reason=row.undone_reason,
        due_at=row.due_at,
        lease=row.lease,
        expires_at=row.expires_at,
        traceparent=row.traceparent,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
