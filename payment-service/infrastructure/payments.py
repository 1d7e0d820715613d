"""Payments in PostgreSQL: one statement for a whole batch, with explicit mapping to and from the aggregate."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chassis.postgres.bulk import among_ids, delete_in_batches, deletion, insert_absent, json_rows
from sqlalchemy import Row, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.payment import Payment, Status
from infrastructure.tables import payments

# Two that add the same payment conflict in its id as well as in its order's, so the conflict has no target.
_ADD = text(
    """
    INSERT INTO payments (id, order_id, customer_id, amount, currency, status, reason, attempts, charge_number,
                          outcome_unknown, waits, undone_reason, due_at, lease, expires_at, traceparent, created_at,
                          updated_at)
    SELECT id, order_id, customer_id, amount, currency, status, reason, attempts, charge_number, outcome_unknown,
           waits, undone_reason, due_at, lease, expires_at, traceparent, created_at, updated_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        id uuid, order_id uuid, customer_id uuid, amount numeric, currency text, status text, reason text,
        attempts int, charge_number int, outcome_unknown boolean, waits int, undone_reason text, due_at timestamptz,
        lease uuid, expires_at timestamptz, traceparent text, created_at timestamptz, updated_at timestamptz)
    ORDER BY order_id
    ON CONFLICT DO NOTHING
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

    async def locked(self, order_ids: Sequence[UUID]) -> dict[UUID, Payment]:
        rows = await self._connection.execute(_LOCKED, {"ids": list(set(order_ids))})
        return {row.order_id: _to_payment(row) for row in rows}

    async def locked_due(self, limit: int) -> list[Payment]:
        return [_to_payment(row) for row in await self._connection.execute(_LOCKED_DUE, {"most": limit})]

    async def add(self, added: Sequence[Payment]) -> None:
        await insert_absent(self._connection, _ADD, [_to_row(payment) for payment in added])

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


def _to_row(payment: Payment) -> dict[str, object]:
    return {
        **_changes(payment),
        "order_id": payment.order_id,
        "customer_id": payment.customer_id,
        "expires_at": payment.expires_at,
        "traceparent": payment.traceparent,
        "created_at": payment.created_at,
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
