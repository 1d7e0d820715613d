"""The unit of work: one transaction for a whole batch; its events leave after the commit, and only then."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

from chassis import inbox
from chassis.database import Database
from chassis.events import Encoder, OrderEvent, Outgoing, Received
from chassis.ids import uuid7
from chassis.outbox import Outbox, insert_into_outbox
from chassis.telemetry import EVENTS_UNCHANGED, REMINDERS
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

TURNS_TO_LEAVE = 2
"""Of the event loop: in the first a committed event becomes a message, in the second that is written to the broker. The
next service may begin then, and need not wait until this one has put its connection back, acknowledged and logged."""

_NOW = text("SELECT now()")


class Unit(Protocol):
    """What a use case sees of the unit of work that it is run in; each service adds its repositories."""

    @property
    def now(self) -> datetime:
        """The database's clock, the same for the whole transaction."""

    def publish(self, event: OrderEvent, traceparent: str, *, repeat: bool = False) -> None:
        """Sends the event if and when the unit is committed. `repeat` says that it was said before: it has an id of its
        own all the same, or the inboxes would swallow it, and nobody could answer."""

    def unchanged(self, event: Received) -> None:
        """Counts an event that came twice, late or too early, and changed nothing."""

    def reminded(self, kind: str) -> None:
        """Counts a reminder, once the unit is committed."""

    async def first_this_second(self) -> bool:
        """Whether this is the first unit of all the service's processes that asks so in this second."""


class Announcing(Protocol):
    """An aggregate that notes its events until they are published."""

    traceparent: str

    @property
    def events(self) -> list[Any]: ...

    @property
    def repeats(self) -> list[Any]:
        """Events that were published before, to be said again."""


def announce(aggregate: Announcing, unit: Unit) -> None:
    """Publishes the aggregate's events."""
    for event in aggregate.events:
        unit.publish(event, aggregate.traceparent)
    for event in aggregate.repeats:
        unit.publish(event, aggregate.traceparent, repeat=True)
    aggregate.events.clear()
    aggregate.repeats.clear()


class UnitOfWork:
    """Leaving it without commit() rolls back. It begins with `start()` or with `take_in(...)`, either of which sets
    the clock."""

    now: datetime
    connection: AsyncConnection

    def __init__(self, database: Database, encoder: Encoder, outbox: Outbox) -> None:
        self._database = database
        self._encoder = encoder
        self._outbox = outbox
        self._events: list[Outgoing] = []
        self._unchanged: list[Received] = []
        self._after_commit: list[Callable[[], None]] = []

    async def __aenter__(self) -> Self:
        self.connection = await self._database.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TimeoutError):
            self._database.distrust()
        await self.connection.close()  # rolls back what was not committed

    async def start(self) -> None:
        self.now = (await self.connection.execute(_NOW)).scalar_one()

    async def take_in(self, consumer: str, events: Sequence[Received]) -> list[Received]:
        """Enters the events in the inbox and returns those that were not in it."""
        self.now, fresh = await inbox.take_in(self.connection, consumer, [event.id for event in events])
        return inbox.distinct(events, fresh)

    async def first_this_second(self) -> bool:
        """Whether no unit of this service's, in whichever process, has asked this before in the same second of the
        database's clock. The second is taken in like an event, so a unit that is rolled back leaves it to another."""
        second = UUID(int=int(self.now.timestamp()))
        return bool((await inbox.take_in(self.connection, "seconds", [second]))[1])

    def publish(self, event: OrderEvent, traceparent: str, *, repeat: bool = False) -> None:
        self._events.append(
            self._encoder.encode(event, event_id=uuid7(), time=self.now, traceparent=traceparent, repeat=repeat)
        )

    def reminded(self, kind: str) -> None:
        self.after_commit(REMINDERS.labels(kind).inc)

    def unchanged(self, event: Received) -> None:
        self._unchanged.append(event)

    def after_commit(self, act: Callable[[], None]) -> None:
        """Remembers what must happen once the transaction is durable, and never if it isn't."""
        self._after_commit.append(act)

    async def commit(self) -> None:
        if self._events:
            await insert_into_outbox(self.connection, self._events)
        await self.connection.commit()
        self._outbox.send(self._events)
        for event in self._unchanged:
            EVENTS_UNCHANGED.labels(event.type).inc()
        for act in self._after_commit:
            act()
        for _ in range(TURNS_TO_LEAVE if self._events else 0):
            await asyncio.sleep(0)
