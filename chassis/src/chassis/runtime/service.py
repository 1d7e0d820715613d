"""The plumbing of a service with a database, put together once: what is left to its main.py is what only it has."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Self, TypeVar

from chassis.http import health
from chassis.http.app import Part, create_app
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import Consumer
from chassis.messaging.envelope import Decoder, Encoder
from chassis.messaging.publisher import SWEEP_EVERY_SECONDS, Publisher
from chassis.messaging.topology import Queue
from chassis.ports.events import Received
from chassis.ports.unit_of_work import Reminded, Waiting
from chassis.postgres import inbox
from chassis.postgres.database import Database
from chassis.postgres.outbox import OutboxRows
from chassis.postgres.repository import delete_in_batches
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime import logs
from chassis.runtime.group_commit import GroupCommit
from chassis.runtime.jobs import Periodic, at_once
from chassis.runtime.reminders import REMIND_EVERY_SECONDS, remind
from chassis.runtime.settings import DatabaseSettings
from fastapi import APIRouter, FastAPI
from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncConnection

PRUNE_EVERY_SECONDS = 600.0

C = TypeVar("C")
R = TypeVar("R")
U = TypeVar("U", bound=UnitOfWork)


class Service(Generic[U]):
    """`consumed` has, by the name of each event that the service reads, the class for its data."""

    def __init__(
        self,
        name: str,
        *,
        unit_of_work: Callable[[Database, Publisher], AbstractAsyncContextManager[U]],
        consumed: Mapping[str, type],
        database: Database,
        broker: Broker,
    ) -> None:
        self.name = name
        self.database = database
        self.broker = broker
        self.publisher = Publisher(OutboxRows(database), broker, Encoder(name))
        self.workers: list[Part] = []
        """What finishes the work that the consumer and the jobs started; stopped after them, before the publisher."""
        self.sweep = Periodic("outbox sweep", SWEEP_EVERY_SECONDS, self.publisher.sweep)
        self.jobs = [self.sweep]
        broker.on_connected = self.sweep.wake
        self._unit_of_work = unit_of_work
        self._consumed = consumed
        self.prunes("inbox", inbox.PRUNE)

    @classmethod
    def connected(
        cls,
        name: str,
        settings: DatabaseSettings,
        *,
        schema: str,
        unit_of_work: Callable[[Database, Publisher], AbstractAsyncContextManager[U]],
        consumed: Mapping[str, type],
    ) -> Self:
        """The service with its logs, on the servers that the settings name."""
        logs.configure(name, settings)
        pool_size = settings.database_pool_size
        database = Database(settings.database_url, pool_size=pool_size, service=name, schema=schema)
        broker = Broker(settings.rabbitmq_url, Queue(name, list(consumed)))
        return cls(name, unit_of_work=unit_of_work, consumed=consumed, database=database, broker=broker)

    def units(self) -> AbstractAsyncContextManager[U]:
        """A new unit of work."""
        return self._unit_of_work(self.database, self.publisher)

    def reading(self, repository: Callable[[AsyncConnection], R]) -> Callable[[], AbstractAsyncContextManager[R]]:
        """For requests that only read: a repository on a connection without a transaction."""

        @asynccontextmanager
        async def read() -> AsyncIterator[R]:
            async with self.database.autocommit() as connection:
                yield repository(connection)

        return read

    def consumes(self, use_case: Callable[[Sequence[Received], U], Awaitable[None]]) -> None:
        """Runs the use case on the events that arrive."""
        decoder = Decoder(self._consumed)
        self.consumer = Consumer(self.broker, service=self.name, decoder=decoder, units=self.units, use_case=use_case)

    def command(
        self, name: str, use_case: Callable[[Sequence[C], U], Awaitable[Sequence[R | Exception]]]
    ) -> Callable[[C], Awaitable[R]]:
        """Runs the use case for one command, in a transaction that concurrent commands share."""
        return GroupCommit(name, self.units, use_case).submit

    def every(
        self,
        seconds: float,
        name: str,
        use_case: Callable[[U], Awaitable[bool]],
        *,
        after: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        """Runs the use case by itself, each time in a unit of work of its own. If it returns True, there may be more to
        do: it runs again as soon as `after` returns."""

        async def act() -> bool:
            async with self.units() as unit:
                await unit.start()
                more = await use_case(unit)
                await unit.commit()
            return more

        self.jobs.append(Periodic(name, seconds, act, after=after))

    def reminds(self, waiting: Callable[[U], Reminded[Waiting]]) -> None:
        """Lets the aggregates of that repository ask again, though not while nothing leaves the outbox: reminders would
        only pile up behind what was said first."""

        async def act(unit: U) -> bool:
            if self.publisher.takes_repeats:
                await remind(waiting(unit), unit)
            return False

        self.every(REMIND_EVERY_SECONDS, "reminders", act)

    def prunes(self, name: str, statement: Executable) -> None:
        """Runs a `deletion` from time to time."""

        async def act() -> None:
            async with self.database.autocommit() as connection:
                await delete_in_batches(connection, statement)

        self.jobs.append(Periodic(f"pruning of {name}", PRUNE_EVERY_SECONDS, act))

    def app(
        self, summary: str, *, version: str, routers: Sequence[APIRouter], errors: Mapping[type[Exception], int]
    ) -> FastAPI:
        return create_app(
            service=self.name,
            version=version,
            summary=summary,
            routers=routers,
            parts=[self.database, self.broker, self.publisher, *self.workers, self.consumer, *self.jobs],
            checks={
                "database": self.database.problem,
                "broker": self.broker.problem,
                "consumer": self.consumer.problem,
                "outbox": self.publisher.problem,
                "jobs": health.all_of([job.problem for job in self.jobs]),
            },
            ready=("database",),
            lost={"jobs": health.all_of([job.lost for job in self.jobs])},
            errors=errors,
        )
