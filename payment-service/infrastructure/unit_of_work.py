"""The unit of work with this service's repository, in PostgreSQL.

Only the events of its order see a tombstone; requests and jobs don't.
"""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from chassis.postgres.repository import Mapped, PostgresRepository
from chassis.postgres.unit_of_work import UnitOfWork
from sqlalchemy import Executable, bindparam

from domain.payment import Payment, Status
from infrastructure.tables import payments

PAYMENTS = Mapped(payments, Payment, key="order_id")
_VISIBLE = payments.c.status != Status.VOID
DUE = PAYMENTS.lock_due(payments.c.due_at, _VISIBLE)
DUE_UNKNOWN = PAYMENTS.lock_due(payments.c.due_at, payments.c.outcome_unknown == bindparam("unknown", True))
WITH_ID = PAYMENTS.find(payments.c.id == bindparam("payment_id"), _VISIBLE)
OF_ORDER = PAYMENTS.find(payments.c.order_id == bindparam("order"), _VISIBLE)
# What such payments have, as their indexes say it. Most payments are completed, so those need none.
_DUE, _UNDONE = payments.c.due_at.is_not(None), payments.c.reason.is_not(None)
_HAVE = {Status.PENDING: _DUE, Status.PROCESSING: _DUE} | dict.fromkeys(
    (Status.FAILED, Status.CANCELLED, Status.REFUNDING, Status.REFUNDED), _UNDONE
)
# No charge begins past the order's deadline, so a tombstone can be deleted some time later.
OLD_TOMBSTONES = PAYMENTS.prune(payments.c.due_at, payments.c.status == Status.VOID)


@cache
def listing(status: Status | None) -> Executable:
    narrowed = [payments.c.status == bindparam("status")] if status else []
    return PAYMENTS.page(payments.c.id, _VISIBLE, *narrowed, *([_HAVE[status]] if status in _HAVE else []))


class PostgresPayments(PostgresRepository[Payment]):
    mapped = PAYMENTS

    async def locked_due(self, limit: int, *, unknown_first: bool = False) -> Sequence[Payment]:
        first = await self.locked_by(DUE_UNKNOWN, most=limit) if unknown_first else []
        due = await self.locked_by(DUE, most=limit) if len(first) < limit else []
        return list(dict.fromkeys([*first, *due]))[:limit]

    async def with_id(self, payment_id: UUID) -> Payment | None:
        return next(iter(await self.read(WITH_ID, payment_id=payment_id)), None)

    async def of_order(self, order_id: UUID) -> Payment | None:
        return next(iter(await self.read(OF_ORDER, order=order_id)), None)

    async def listed(self, *, status: Status | None, before: UUID | None, limit: int) -> Sequence[Payment]:
        """The payments in the status, the newest first by their orders' time, with ids below `before`."""
        given = {"status": status} if status else {}
        return await self.newest(listing(status), before=before, limit=limit, **given)


class PaymentUnitOfWork(UnitOfWork):
    def open_repositories(self) -> None:
        self.payments = self.tracked(PostgresPayments(self.connection))
