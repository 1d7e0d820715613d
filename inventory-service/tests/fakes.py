"""The service's repositories in memory. They pass the suite of the real ones (integration/test_repositories.py)."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

from chassis.ports.errors import Conflict
from chassis.ports.ids import uuid7
from chassis.testing import MemoryUnit, Published
from domain.hold import Hold

from domain.item import Item

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


class FakeHolds:
    def __init__(self, view: View[Hold], now: datetime) -> None:
        self._view = view
        self._now = now

    async def locked(self, order_ids: Sequence[UUID]) -> dict[UUID, Hold]:
        found = [await self._view.lock(order_id) for order_id in sorted(self._view.existing(order_ids))]
        return {hold.order_id: hold for hold in found if hold is not None}

    async def add(self, holds: Sequence[Hold]) -> None:
        for hold in sorted(holds, key=lambda hold: hold.order_id):
            await self._view.add(hold.order_id, hold)

    async def locked_to_remind(self, limit: int) -> list[Hold]:
        due = [
            (hold.remind_at, hold.order_id)
            for hold in self._view.committed()
            if hold.remind_at and hold.remind_at <= self._now
            if self._view.is_free(hold.order_id)
        ]
        locked = [await self._view.lock(order_id) for _, order_id in sorted(due)[:limit]]
        return [hold for hold in locked if hold is not None]

    async def save(self, holds: Sequence[Hold]) -> None:
        for hold in holds:
            self._view.save(hold.order_id, hold)


class FakeItems:
    def __init__(self, view: View[Item], now: datetime) -> None:
        self._view = view
        self._now = now

    async def make(self, product_ids: Sequence[UUID]) -> set[UUID]:
        made = set()
        for product_id in sorted(set(product_ids) - self._view.existing(product_ids)):
            if await self._view.lock(product_id) is None:
                self._view.save(product_id, Item(uuid7(), product_id, 0, 0, self._now, self._now))
                made.add(product_id)
        return made

    async def locked(self, product_ids: Sequence[UUID]) -> dict[UUID, Item]:
        locked = [await self._view.lock(product_id) for product_id in sorted(self._view.existing(product_ids))]
        return {item.product_id: item for item in locked if item is not None}

    async def save(self, items: Sequence[Item]) -> None:
        for item in items:
            self._view.save(item.product_id, item)

    async def get(self, product_id: UUID) -> Item | None:
        return next((item for item in self._view.committed() if item.product_id == product_id), None)

    async def listed(self, *, before: UUID | None, limit: int) -> list[Item]:
        items = sorted(self._view.committed(), key=lambda item: item.id, reverse=True)
        return [item for item in items if before is None or item.id < before][:limit]


@dataclass
class FakeUnit(MemoryUnit):
    holds_view: View[Hold] = field(kw_only=True)
    items_view: View[Item] = field(kw_only=True)

    def __post_init__(self) -> None:
        self.holds = FakeHolds(self.holds_view, self.now)
        self.items = FakeItems(self.items_view, self.now)

    def commit(self) -> None:
        self.holds_view.commit()
        self.items_view.commit()
        super().commit()


class FakeStore:
    """The database of the fakes: its clock stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.holds: Rows[Hold] = Rows(lambda hold: replace(hold, events=[], repeats=[]))
        self.items: Rows[Item] = Rows(replace)
        self.published: list[Published] = []
        self.unchanged = 0
        self.reminders: Counter[str] = Counter()
        self._seconds: set[int] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeUnit]:
        """Commits when it is left, and does nothing when it is left by an exception."""
        unit = FakeUnit(now=self.now, seconds=self._seconds, holds_view=View(self.holds), items_view=View(self.items))
        try:
            yield unit
            unit.commit()
            self.published += unit.published
            self.unchanged += len(unit.unchanged_events)
            self.reminders += unit.reminders
        finally:
            unit.holds_view.close()
            unit.items_view.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[FakeItems]:
        yield FakeItems(View(self.items), self.now)

    async def someone_waits(self) -> bool:
        return self.holds.waiting + self.items.waiting > 0
