"""The service's repository in memory, which passes the suite of the real one (integration/test_repositories.py), and a
gateway that answers as it is told."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

from chassis.ports.errors import Conflict
from chassis.testing import MemoryUnit, Published

from domain.attempt import Answer, Attempt
from domain.payment import Payment, Status

V = TypeVar("V")


class Rows(Generic[V]):
    """A table: what was committed, and a lock for each key: also for those of rows that a unit is adding."""

    def __init__(self, copy: Callable[[V], V]) -> None:
        self.copy = copy
        self.committed: dict[UUID, V] = {}
        self.locks: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.waiting = 0


class View(Generic[V]):
    """A table as one unit sees it: locked rows are its own copies, and its changes nobody's until it commits."""

    def __init__(self, rows: Rows[V]) -> None:
        self._rows = rows
        self._locked: set[UUID] = set()
        self._changed: dict[UUID, V] = {}
        self._saved = False

    async def lock(self, key: UUID) -> V | None:
        if key not in self._locked:
            self._rows.waiting += 1
            try:
                await self._rows.locks[key].acquire()
            finally:
                self._rows.waiting -= 1
            self._locked.add(key)
        row = self._changed.get(key) or self._rows.committed.get(key)
        return None if row is None else self._rows.copy(row)

    def is_free(self, key: UUID) -> bool:
        return key in self._locked or not self._rows.locks[key].locked()

    def existing(self, keys: Iterable[UUID]) -> set[UUID]:
        """Those of the keys that have a row; another unit's new rows can't be seen before it commits."""
        return {key for key in keys if key in self._rows.committed or key in self._changed}

    def committed(self) -> list[V]:
        return list(self._rows.committed.values())

    async def add(self, key: UUID, row: V) -> None:
        """Waits for whoever is adding the same row. Raises Conflict for one that is there."""
        assert not self._saved, "whoever has saved waits for nobody: in PostgreSQL that could close a circle"
        if self.existing([key]) or await self.lock(key) is not None:
            raise Conflict("another unit has added this row first")
        self._changed[key] = self._rows.copy(row)

    def save(self, key: UUID, row: V) -> None:
        assert key in self._locked, "only what is locked may be saved"
        self._saved = True
        self._changed[key] = self._rows.copy(row)

    def commit(self) -> None:
        self._rows.committed.update(self._changed)
        self._changed.clear()

    def close(self) -> None:
        for key in self._locked:
            self._rows.locks[key].release()
        self._locked.clear()


class FakePayments:
    def __init__(self, view: View[Payment], now: datetime) -> None:
        self._view = view
        self._now = now

    async def locked(self, order_ids: Sequence[UUID]) -> dict[UUID, Payment]:
        found = [await self._view.lock(order_id) for order_id in sorted(self._view.existing(order_ids))]
        return {payment.order_id: payment for payment in found if payment is not None}

    async def add(self, payments: Sequence[Payment]) -> None:
        for payment in sorted(payments, key=lambda payment: payment.order_id):
            await self._view.add(payment.order_id, payment)

    async def locked_due(self, limit: int) -> list[Payment]:
        due = [
            (payment.due_at, payment.order_id)
            for payment in self._view.committed()
            if payment.due_at and payment.due_at <= self._now and payment.status is not Status.VOID
            if self._view.is_free(payment.order_id)
        ]
        locked = [await self._view.lock(order_id) for _, order_id in sorted(due)[:limit]]
        return [payment for payment in locked if payment is not None]

    async def save(self, payments: Sequence[Payment]) -> None:
        for payment in payments:
            self._view.save(payment.order_id, payment)

    async def get(self, payment_id: UUID) -> Payment | None:
        return next((payment for payment in self._visible() if payment.id == payment_id), None)

    async def of_order(self, order_id: UUID) -> Payment | None:
        return next((payment for payment in self._visible() if payment.order_id == order_id), None)

    def _visible(self) -> list[Payment]:
        return [payment for payment in self._view.committed() if payment.status is not Status.VOID]


@dataclass
class FakeUnit(MemoryUnit):
    view: View[Payment] = field(kw_only=True)

    def __post_init__(self) -> None:
        self.payments = FakePayments(self.view, self.now)

    def commit(self) -> None:
        self.view.commit()
        super().commit()


class FakeStore:
    """The database of the fakes: its clock stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.payments: Rows[Payment] = Rows(lambda payment: replace(payment, events=[], repeats=[]))
        self.published: list[Published] = []
        self.unchanged = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeUnit]:
        """Commits when it is left, and does nothing when it is left by an exception."""
        unit = FakeUnit(now=self.now, view=View(self.payments))
        try:
            yield unit
            unit.commit()
            self.published += unit.published
            self.unchanged += len(unit.unchanged_events)
        finally:
            unit.view.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[FakePayments]:
        yield FakePayments(View(self.payments), self.now)

    async def someone_waits(self) -> bool:
        return self.payments.waiting > 0


class FakeGateway:
    """Answers with what it was told to, one after the other, and the last of it for ever; while it is `stuck` it
    answers nobody."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers) or [Answer.DONE]
        self._free = asyncio.Event()
        self._free.set()
        self.asked: list[Attempt] = []

    async def ask(self, attempt: Attempt) -> Answer:
        self.asked.append(attempt)
        await self._free.wait()
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def stick(self) -> None:
        self._free.clear()

    def answer(self) -> None:
        self._free.set()

    @property
    def charge_numbers(self) -> list[str]:
        """What follows the payment's id in the keys, in the order in which they came."""
        return [attempt.idempotency_key.partition(":")[2] for attempt in self.asked]
