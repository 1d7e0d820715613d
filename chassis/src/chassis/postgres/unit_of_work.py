"""The unit of work: one transaction for a batch. It saves what its repositories hold, then sends the events."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, Self, TypeVar
from uuid import UUID

from chassis.ports import tracing
from chassis.ports.events import OrderEvent, Outgoing, Received
from chassis.ports.unit_of_work import Claim
from chassis.postgres import idempotency, inbox
from chassis.postgres.database import Database
from chassis.postgres.outbox import insert_into_outbox
from chassis.postgres.repository import PostgresRepository
from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

TURNS_TO_LEAVE = 2
"""Turns of the event loop after a commit: in the first, events become a message; in the second, it is written to the
broker. The next service can then begin before this one returns its connection, acknowledges and logs."""

EVENTS_UNCHANGED = Counter("events_unchanged", "Events that came late or too early and changed nothing", ("type",))
REMINDERS = Counter("reminders", "What was said again because nobody had answered", ("kind",))

NOW = text("SELECT now()")


class EventPublisher(Protocol):
    def encode(self, event: OrderEvent, *, time: datetime, traceparent: str, repeat: bool = False) -> Outgoing: ...

    def send(self, events: Sequence[Outgoing]) -> None: ...


R = TypeVar("R", bound=PostgresRepository[Any])


class UnitOfWork:
    """Leaving it without commit() rolls back. `start()` or `take_in(...)` begins it and sets the clock."""

    purpose = "handle_events"
    """Names the transaction in traces: the use case, or the job."""
    now: datetime
    connection: AsyncConnection

    def __init__(self, database: Database, publisher: EventPublisher) -> None:
        self._database = database
        self._publisher = publisher
        self._repositories: list[PostgresRepository[Any]] = []
        self.unchanged_events: list[Received] = []
        self.reminders: list[str] = []
        self._after_commit: list[Callable[[], None]] = []

    def open_repositories(self) -> None:
        """Creates the service's repositories, each through `tracked`."""
        raise NotImplementedError

    def tracked(self, repository: R) -> R:
        """Has the commit save what the repository loaded and added."""
        self._repositories.append(repository)
        return repository

    async def __aenter__(self) -> Self:
        self._began = time.time_ns()
        self.connection = await self._database.connect()
        self.open_repositories()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimeoutError):
            self._database.distrust()
        if error is not None:
            self._record(error)
        await self.connection.close()  # rolls back what was not committed

    async def start(self) -> None:
        self.now = (await self.connection.execute(NOW)).scalar_one()

    async def take_in(self, consumer: str, events: Sequence[Received]) -> list[Received]:
        """Enters the events in the inbox and returns the new ones, each once."""
        self.now, fresh = await inbox.take_in(self.connection, consumer, [event.id for event in events])
        return list({event.id: event for event in events if event.id in fresh}.values())

    async def first_this_second(self) -> bool:
        """The second is taken in like an event, so a unit that is rolled back leaves it to another."""
        second = UUID(int=int(self.now.timestamp()))
        return bool((await inbox.take_in(self.connection, "seconds", [second]))[1])

    async def claim(self, claims: Sequence[Claim]) -> dict[UUID, Claim]:
        return await idempotency.claim(self.connection, claims)

    async def release(self, claims: Sequence[Claim]) -> None:
        await idempotency.release(self.connection, claims)

    def unchanged(self, event: Received) -> None:
        self.unchanged_events.append(event)

    def reminded(self, kind: str) -> None:
        self.reminders.append(kind)

    def after_commit(self, act: Callable[[], None]) -> None:
        self._after_commit.append(act)

    async def commit(self) -> None:
        """Inserts in the order of the keys, then updates. Only inserts may wait for another transaction, because the
        rows to update are locked already, so two units can't deadlock."""
        for repository in self._repositories:
            await repository.insert_added()
        for repository in self._repositories:
            await repository.save_changed()
        events = [
            self._publisher.encode(event, time=self.now, traceparent=aggregate.traceparent, repeat=facts == "repeats")
            for repository in self._repositories
            for aggregate in repository
            for facts in ("events", "repeats")  # some aggregates, such as items of stock, have neither
            for event in getattr(aggregate, facts, ())
        ]
        if events:
            await insert_into_outbox(self.connection, events)
        await self.connection.commit()
        self._publisher.send(events)
        self._record(None)
        for unchanged in self.unchanged_events:
            EVENTS_UNCHANGED.labels(unchanged.type).inc()
        for kind in self.reminders:
            REMINDERS.labels(kind).inc()
        for act in self._after_commit:
            act()
        for _ in range(TURNS_TO_LEAVE if events else 0):
            await asyncio.sleep(0)

    def _record(self, error: BaseException | None) -> None:
        if tracing.recorder is not None:
            aggregates = (aggregate for repository in self._repositories for aggregate in repository)
            traces = (getattr(aggregate, "traceparent", "") for aggregate in aggregates)
            tracing.recorder.transaction(self.purpose, self._began, traces, error)
