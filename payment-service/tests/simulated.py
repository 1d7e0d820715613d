"""This service as system-tests/simulation runs it: what main.py composes, on the fakes' store, which all its processes
share. Loaded by name in an interpreter of its own, because the four services' packages bear the same names."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from application.charge_due import ChargeDue
from application.enter_answers import EnterAnswers
from application.take_payments import TakePayments
from chassis.messaging.envelope import Encoder
from chassis.messaging.publisher import Outbox
from chassis.postgres.database import Database
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime.group_commit import Batcher
from chassis.runtime.jobs import Periodic, in_batches
from infrastructure.observed_gateway import ObservedGateway

from application.ports import PaymentGateway
from domain.attempt import Answer
from domain.payment import Payment, Status
from infrastructure import payments as postgres
from infrastructure.messages import CONSUMED, PUBLISHED
from tests.fakes import FakePayments, FakeStore, View

__all__ = ["CONSUMED", "NAME", "PUBLISHED", "compose", "make_store", "read_answer"]

NAME = "payment-service"
RETRY_DELAYS = [timedelta(seconds=delay) for delay in (1, 2, 4)]


@dataclass
class Tables:
    """Payments as one transaction sees them."""

    payments: View[Payment]
    now: datetime

    @property
    def changed(self) -> bool:
        return bool(self.payments._changed)

    def commit(self) -> None:
        self.payments.commit()

    def close(self) -> None:
        self.payments.close()


class Store(FakeStore):
    def __init__(self, new_lock: Callable[[], asyncio.Lock]) -> None:
        super().__init__()
        self.payments.locks = defaultdict(new_lock)

    def begin(self, now: datetime) -> Tables:
        return Tables(View(self.payments), now)

    def statuses(self) -> dict[UUID, str]:
        return {order_id: payment.status for order_id, payment in self.payments.committed.items()}

    def due(self) -> dict[str, datetime]:
        payments = self.payments.committed.values()
        times = [payment.due_at for payment in payments if payment.status is not Status.VOID and payment.due_at]
        return {"due payments": min(times)} if times else {}

    def prune(self, statement: object, now: datetime) -> bool:
        if statement is not postgres._PRUNE:
            return False
        for order_id, payment in list(self.payments.committed.items()):
            forgettable = payment.status is Status.VOID and payment.due_at and payment.due_at < now
            if forgettable and not self.payments.locks[order_id].locked():  # else it is for the next pruning
                del self.payments.committed[order_id]
        return True

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "order": str(payment.order_id),
                "payment": str(payment.id),
                "status": str(payment.status),
                "reason": payment.reason,
                "amount": f"{payment.amount} {payment.currency}",
                "awaited": payment.outcome_unknown or payment.lease is not None,
            }
            for payment in self.payments.committed.values()
        ]


class SimulatedUnitOfWork(UnitOfWork):
    payments: FakePayments

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        connection: Any = self.connection
        tables: Tables = connection.tables
        self.payments = FakePayments(tables.payments, tables.now)
        return self


class Composed:
    def __init__(self, database: Database, encoder: Encoder, outbox: Outbox, gateway: PaymentGateway) -> None:
        self._made: Callable[[], SimulatedUnitOfWork] = lambda: SimulatedUnitOfWork(database, encoder, outbox)
        enter_answers = EnterAnswers(RETRY_DELAYS)
        charge_due = ChargeDue(ObservedGateway(gateway), Batcher("enter_answers", self.units, enter_answers).submit)
        self.consume = TakePayments(charge_due)
        self.requests: Mapping[str, Any] = {}
        self.jobs = {"due payments": in_batches(self.units, charge_due)}
        charge_due.on_room = Periodic("due payments", 0.5, self.jobs["due payments"]).wake
        self.workers = [charge_due]
        self.prune = [postgres.prune_tombstones]

    def units(self) -> SimulatedUnitOfWork:
        return self._made()


def make_store(new_lock: Callable[[], asyncio.Lock], settings: Mapping[str, Any]) -> Store:
    return Store(new_lock)


def compose(
    *, database: Database, encoder: Encoder, outbox: Outbox, store: Store, world: object, gateway: PaymentGateway
) -> Composed:
    return Composed(database, encoder, outbox, gateway)


def read_answer(answer: str) -> Answer:
    return Answer(answer)
