"""Units of work of one service on PostgreSQL in memory, a clock that the test sets, and a record of events."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, TypeVarTuple, cast
from uuid import UUID

from chassis.messaging.publisher import Publisher
from chassis.ports.events import OrderEvent, Outgoing, Received
from chassis.ports.ids import uuid7
from chassis.postgres.database import Database
from chassis.postgres.repository import Mapped, PostgresRepository
from chassis.postgres.unit_of_work import EventPublisher, UnitOfWork
from chassis.runtime.service import Service
from chassis.testing.memory import MemoryDatabase, Server

A = TypeVar("A")
R = TypeVar("R")
U = TypeVar("U", bound=UnitOfWork)
Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True, slots=True)
class Published:
    event: OrderEvent
    traceparent: str
    event_id: UUID
    time: datetime
    repeat: bool = False


class RecordingPublisher:
    """Keeps the events that were committed, as the aggregates made them."""

    takes_repeats = True

    def __init__(self) -> None:
        self.published: list[Published] = []
        self._encoded: dict[UUID, Published] = {}

    def encode(self, event: OrderEvent, *, time: datetime, traceparent: str, repeat: bool = False) -> Outgoing:
        published = Published(event, traceparent, uuid7(), time, repeat)
        self._encoded[published.event_id] = published
        return Outgoing(published.event_id, event.name, "", str(event.order_id), b"{}")

    def send(self, events: Sequence[Outgoing]) -> None:
        self.published += [self._encoded.pop(event.id) for event in events]


class Units(Generic[U]):
    """Makes units of work, and runs use cases in them as a service does."""

    def __init__(self, unit_of_work: Callable[[Database, EventPublisher], AbstractAsyncContextManager[U]]) -> None:
        self.now = datetime.now(UTC)
        self.server = Server(lambda: self.now)
        self.database = cast(Database, MemoryDatabase(self.server))
        self.publisher = RecordingPublisher()
        self.unchanged: list[Received] = []
        self.reminders: Counter[str] = Counter()
        self._unit_of_work = unit_of_work

    def __call__(self) -> AbstractAsyncContextManager[U]:
        return self._unit_of_work(self.database, self.publisher)

    async def run(self, use_case: Callable[[*Arguments, U], Awaitable[R]], *arguments: *Arguments) -> R:
        """Runs the use case in a unit of its own, and commits it."""
        async with self() as unit:
            await unit.start()
            result = await use_case(*arguments, unit)
            await unit.commit()
        self.unchanged += unit.unchanged_events
        self.reminders.update(unit.reminders)
        return result

    def replace_servers_of(self, service: Service[U]) -> None:
        """Lets a service that main.py has composed run on this database, and send nothing to a broker."""
        service.database, service.publisher = self.database, cast(Publisher, self.publisher)

    async def put(self, mapped: Mapped[A], *aggregates: A) -> None:
        """Inserts the aggregates as an earlier transaction did whose events were published long ago."""
        async with self.database.autocommit() as connection:
            repository = PostgresRepository[A](connection)
            repository.mapped = mapped
            for aggregate in aggregates:
                repository.add(aggregate)
            await repository.insert_added()
            await connection.commit()

    def kept(self, mapped: Mapped[A]) -> dict[UUID, A]:
        """The committed aggregates, by key."""
        return {key: mapped.load(row) for key, row in self.server.rows(mapped.table.name).items()}

    @property
    def published(self) -> list[Published]:
        return self.publisher.published

    @property
    def events(self) -> list[Any]:
        return [published.event for published in self.published]
