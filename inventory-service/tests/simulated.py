"""This service as system-tests/simulation runs it: what main.py composes, on the fakes' store, which all its processes
share. Loaded by name in an interpreter of its own, because the four services' packages bear the same names."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from application.hold_stock import hold_stock
from chassis.messaging.envelope import Encoder
from chassis.messaging.publisher import Outbox
from chassis.postgres.database import Database
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime.group_commit import Batcher
from chassis.runtime.reminders import reminding
from domain.hold import Hold, Status

from application.set_stock import SetStock, Stocked, set_stock
from domain.item import Item
from infrastructure import holds as postgres
from infrastructure.messages import CONSUMED, PUBLISHED
from tests.fakes import FakeHolds, FakeItems, FakeStore, View

__all__ = ["CONSUMED", "NAME", "PUBLISHED", "compose", "make_store", "read_answer"]

NAME = "inventory-service"


@dataclass
class Tables:
    """Holds and items as one transaction sees them."""

    holds: View[Hold]
    items: View[Item]
    now: datetime

    @property
    def changed(self) -> bool:
        return bool(self.holds._changed or self.items._changed)

    def commit(self) -> None:
        self.holds.commit()
        self.items.commit()

    def close(self) -> None:
        self.holds.close()
        self.items.close()


class Store(FakeStore):
    def __init__(self, new_lock: Callable[[], asyncio.Lock]) -> None:
        super().__init__()
        self.holds.locks = defaultdict(new_lock)
        self.items.locks = defaultdict(new_lock)

    def begin(self, now: datetime) -> Tables:
        return Tables(View(self.holds), View(self.items), now)

    def statuses(self) -> dict[UUID, str]:
        return {order_id: hold.status for order_id, hold in self.holds.committed.items()}

    def due(self) -> dict[str, datetime]:
        times = [hold.remind_at for hold in self.holds.committed.values() if hold.remind_at]
        return {"reminders": min(times)} if times else {}

    def prune(self, statement: object, now: datetime) -> bool:
        if statement is not postgres._PRUNE:
            return False
        for order_id, hold in list(self.holds.committed.items()):
            forgettable = hold.status is Status.VOID and hold.due_at and hold.due_at < now
            if forgettable and not self.holds.locks[order_id].locked():  # else it is for the next pruning
                del self.holds.committed[order_id]
        return True

    def rows(self) -> list[dict[str, Any]]:
        holds: list[dict[str, Any]] = [
            {
                "order": str(hold.order_id),
                "status": str(hold.status),
                "reason": hold.reason,
                "quantities": {str(p): n for p, n in hold.demand.quantities().items()} if hold.demand else {},
            }
            for hold in self.holds.committed.values()
        ]
        items: list[dict[str, Any]] = [
            {
                "product": str(item.product_id),
                "available": item.quantity_available,
                "reserved": item.reserved_quantity,
            }
            for item in self.items.committed.values()
        ]
        return holds + items


class SimulatedUnitOfWork(UnitOfWork):
    holds: FakeHolds
    items: FakeItems

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        connection: Any = self.connection
        tables: Tables = connection.tables
        self.holds = FakeHolds(tables.holds, tables.now)
        self.items = FakeItems(tables.items, tables.now)
        return self


class Composed:
    def __init__(self, database: Database, encoder: Encoder, outbox: Outbox) -> None:
        self._made: Callable[[], SimulatedUnitOfWork] = lambda: SimulatedUnitOfWork(database, encoder, outbox)
        self._set_stock = Batcher("set_stock", self.units, set_stock).submit
        self.consume = hold_stock
        self.requests = {"set_stock": self.set_stock}
        self.jobs = {"reminders": reminding(outbox, self.units, lambda unit: unit.holds)}
        self.workers: Sequence[Any] = ()
        self.prune = [postgres.prune_tombstones]

    def units(self) -> SimulatedUnitOfWork:
        return self._made()

    async def set_stock(self, product: str, quantity: int) -> str:
        stocked: Stocked = await self._set_stock(SetStock(UUID(product), quantity))
        return str(stocked.item.quantity_available)


def make_store(new_lock: Callable[[], asyncio.Lock], settings: Mapping[str, Any]) -> Store:
    return Store(new_lock)


def compose(
    *, database: Database, encoder: Encoder, outbox: Outbox, store: Store, world: object, gateway: object
) -> Composed:
    return Composed(database, encoder, outbox)


def read_answer(answer: str) -> str:
    return answer
