"""This service as system-tests/simulation runs it: what main.py composes, on a store in memory that all its processes
share. Loaded by name in an interpreter of its own, because the four services' packages bear the same names."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

from application.settle_orders import settle_orders
from chassis.messaging.envelope import Encoder
from chassis.messaging.publisher import Outbox
from chassis.ports.idempotency import Claim
from chassis.postgres import idempotency
from chassis.postgres.database import Database
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime.group_commit import Batcher
from chassis.runtime.jobs import in_batches
from chassis.runtime.reminders import reminding

from application.cancel_orders import cancel_orders
from application.expire_orders import expire_orders
from application.place_orders import Placed, PlaceOrder, PlaceOrders
from domain.events import Line
from domain.order import Order
from infrastructure.messages import CONSUMED, PUBLISHED
from tests.fakes import MemoryOrders

__all__ = ["CONSUMED", "NAME", "PUBLISHED", "compose", "make_store", "read_answer"]

NAME = "order-service"


class Store:
    """The table of orders: what was committed, and a lock for each row."""

    def __init__(self, new_lock: Callable[[], asyncio.Lock]) -> None:
        self.committed: dict[UUID, Order] = {}
        self.locks: defaultdict[UUID, asyncio.Lock] = defaultdict(new_lock)

    def begin(self, now: datetime) -> "SimulatedOrders":
        return SimulatedOrders(self, now)

    def statuses(self) -> dict[UUID, str]:
        return {order_id: order.status for order_id, order in self.committed.items()}

    def due(self) -> dict[str, datetime]:
        times = {
            "order deadlines": [order.expires_at for order in self.committed.values() if not order.is_final],
            "reminders": [order.remind_at for order in self.committed.values() if order.remind_at],
        }
        return {name: min(due) for name, due in times.items() if due}

    def prune(self, statement: object, now: datetime) -> bool:
        return False

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "order": str(order.id),
                "customer": str(order.customer_id),
                "status": str(order.status),
                "reason": order.reason,
                "expires_at": order.expires_at.isoformat(),
                "total": f"{order.total_amount} {order.currency}",
                "items": [(str(line.product_id), line.quantity) for line in order.items],
                "timeline": [(entry.event, str(entry.status)) for entry in order.timeline],
                "traceparent": order.traceparent,
            }
            for order in self.committed.values()
        ]


class SimulatedOrders(MemoryOrders):
    """The fake repository as one transaction sees it: its changes are nobody else's until they are committed, and a
    locked row is read when the lock is had."""

    def __init__(self, store: Store, now: datetime) -> None:
        super().__init__(lambda: now)
        self._store = store
        self._locked: set[UUID] = set()

    @property
    def changed(self) -> bool:
        return any(order != self._store.committed.get(order_id) for order_id, order in self._kept.items())

    async def get(self, ids: Sequence[UUID]) -> dict[UUID, Order]:
        others = MemoryOrders(self._now)
        await others.add([self._store.committed[order_id] for order_id in ids if order_id in self._store.committed])
        return await others.get(ids) | await super().get(ids)

    async def locked(self, ids: Sequence[UUID]) -> dict[UUID, Order]:
        for order_id in sorted({order_id for order_id in ids if order_id in self._store.committed} - self._locked):
            await self._store.locks[order_id].acquire()
            self._locked.add(order_id)
            self._kept[order_id] = self._store.committed[order_id]
        return await super().get(sorted(ids))

    async def locked_overdue(self, limit: int) -> list[Order]:
        return await self._locked_past(lambda order: None if order.is_final else order.expires_at, limit)

    async def locked_to_remind(self, limit: int) -> list[Order]:
        return await self._locked_past(lambda order: order.remind_at, limit)

    async def _locked_past(self, due: Callable[[Order], datetime | None], limit: int) -> list[Order]:
        found = [(due(order), order.id) for order in (self._store.committed | self._kept).values()]
        past = sorted((at, order_id) for at, order_id in found if at and at <= self._now() and self._is_free(order_id))
        locked = await self.locked([order_id for _, order_id in past[:limit]])
        return [locked[order_id] for _, order_id in past[:limit]]

    def _is_free(self, order_id: UUID) -> bool:
        return order_id in self._locked or not self._store.locks[order_id].locked()

    def commit(self) -> None:
        """What was read without a lock was not written either."""
        self._store.committed |= {
            order_id: order
            for order_id, order in self._kept.items()
            if order_id in self._locked or order_id not in self._store.committed
        }

    def close(self) -> None:
        for order_id in sorted(self._locked):
            self._store.locks[order_id].release()
        self._locked.clear()


class SimulatedUnitOfWork(UnitOfWork):
    orders: MemoryOrders

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        tables: Any = self.connection
        self.orders = tables.tables
        return self

    def count(self, order: Order) -> None:
        pass

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        return await idempotency.claim(self.connection, claims)


class Composed:
    def __init__(self, database: Database, encoder: Encoder, outbox: Outbox, expires_after: timedelta) -> None:
        self._made: Callable[[], SimulatedUnitOfWork] = lambda: SimulatedUnitOfWork(database, encoder, outbox)
        place_orders = PlaceOrders(currency="USD", expires_after=expires_after)
        self._place = Batcher("place_orders", self.units, place_orders).submit
        self._cancel = Batcher("cancel_orders", self.units, cancel_orders).submit
        self.consume = settle_orders
        self.requests = {"place": self.place, "cancel": self.cancel}
        self.jobs = {
            "order deadlines": in_batches(self.units, expire_orders),
            "reminders": reminding(outbox, self.units, lambda unit: unit.orders),
        }
        self.workers: Sequence[Any] = ()
        self.prune = [idempotency.prune]

    def units(self) -> SimulatedUnitOfWork:
        return self._made()

    async def place(self, customer: str, lines: Sequence[tuple[str, int, str]], traceparent: str, key: str) -> str:
        items = tuple(Line(UUID(product), quantity, Decimal(price)) for product, quantity, price in lines)
        placed: Placed = await self._place(PlaceOrder(UUID(customer), items, traceparent, key or None))
        return str(placed.order.id)

    async def cancel(self, order_id: str) -> str:
        order: Order = await self._cancel(UUID(order_id))
        return str(order.status)


def make_store(new_lock: Callable[[], asyncio.Lock], settings: Mapping[str, Any]) -> Store:
    return Store(new_lock)


def compose(
    *, database: Database, encoder: Encoder, outbox: Outbox, store: Store, world: Any, gateway: object
) -> Composed:
    return Composed(database, encoder, outbox, timedelta(seconds=world.settings["expires_after_seconds"]))


def read_answer(answer: str) -> str:
    return answer
