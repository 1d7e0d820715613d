"""Assembles a service with a database; its main.py adds its own use cases and jobs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Self, TypeVar

from chassis.http import development as breaking
from chassis.http import health
from chassis.http.access import Guard, Part
from chassis.http.app import create_app
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import Consumer
from chassis.messaging.envelope import Decoder
from chassis.messaging.publisher import SWEEP_EVERY_SECONDS, Publisher
from chassis.messaging.topology import Queue
from chassis.ports.events import Received
from chassis.postgres import inbox
from chassis.postgres.database import Database
from chassis.postgres.outbox import OutboxRows
from chassis.postgres.repository import PostgresRepository, delete_in_batches
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime import logs, tracing
from chassis.runtime.group_commit import GroupCommit
from chassis.runtime.guard import guard_of
from chassis.runtime.jobs import Periodic, at_once
from chassis.runtime.reminders import REMIND_EVERY_SECONDS, Remindable, remind
from chassis.runtime.settings import DatabaseSettings
from fastapi import APIRouter, FastAPI
from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncConnection

PRUNE_EVERY_SECONDS = 600.0

A = TypeVar("A", bound=Remindable)
C = TypeVar("C")
R = TypeVar("R")
U = TypeVar("U", bound=UnitOfWork)


class Service(Generic[U]):
    """`consumed` has the class for the data of each event that the service reads, by the event's name."""

    def __init__(
        self,
        name: str,
        unit_of_work: Callable[[Database, Publisher], AbstractAsyncContextManager[U]],
        consumed: Mapping[str, type],
        database: Database,
        broker: Broker,
        guard: Guard,
    ) -> None:
        self.name = name
        self.guard = guard
        self.database = database
        self.broker = broker
        self.publisher = Publisher(OutboxRows(database), broker, name)
        self.workers: list[Part] = []
        """Parts that finish what the consumer and the jobs started, so they stop later."""
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
        """The service on the servers that the settings name, with its logs and traces."""
        logs.configure(name, settings)
        tracing.configure(name, settings)
        pool_size = settings.database_pool_size
        database = Database(settings.reader("database_url"), pool_size=pool_size, service=name, schema=schema)
        broker = Broker(settings.reader("rabbitmq_url"), Queue(name, list(consumed)), verified=settings.in_production)
        return cls(name, unit_of_work, consumed, database, broker, guard_of(settings))

    def units(self) -> AbstractAsyncContextManager[U]:
        return self._unit_of_work(self.database, self.publisher)

    def reading(self, repository: Callable[[AsyncConnection], R]) -> Callable[[], AbstractAsyncContextManager[R]]:
        """Opens the repository outside of a transaction, for requests that only read."""

        @asynccontextmanager
        async def read() -> AsyncIterator[R]:
            async with self.database.autocommit() as connection:
                yield repository(connection)

        return read

    def consumes(self, use_case: Callable[[Sequence[Received], U], Awaitable[None]]) -> None:
        decoder = Decoder(self._consumed)
        self.consumer = Consumer(self.broker, service=self.name, decoder=decoder, units=self.units, use_case=use_case)

    def command(
        self, name: str, use_case: Callable[[Sequence[C], U], Awaitable[Sequence[R | Exception]]]
    ) -> Callable[[C], Awaitable[R]]:
        """A function that runs the use case for one command, in a transaction that concurrent commands share."""
        return GroupCommit(name, self.units, use_case).submit

    def every(
        self,
        seconds: float,
        name: str,
        use_case: Callable[[U], Awaitable[bool]],
        *,
        after: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        """Runs the use case, each time in a new unit of work; again once `after` returns if it returned True."""

        async def act() -> bool:
            async with self.units() as unit:
                unit.purpose = name
                await unit.start()
                more = await use_case(unit)
                await unit.commit()
            return more

        self.jobs.append(Periodic(name, seconds, act, after=after))

    def reminds(self, repository: Callable[[U], PostgresRepository[A]]) -> None:
        """Pauses while nothing leaves the outbox: reminders would pile up there behind the events that they repeat."""

        async def act(unit: U) -> bool:
            if self.publisher.takes_repeats:
                await remind(repository(unit), unit)
            return False

        self.every(REMIND_EVERY_SECONDS, "reminders", act)

    def prunes(self, name: str, statement: Executable) -> None:
        """Runs a `deletion` every PRUNE_EVERY_SECONDS."""

        async def act() -> None:
            async with self.database.autocommit() as connection:
                await delete_in_batches(connection, statement)

        self.jobs.append(Periodic(f"pruning of {name}", PRUNE_EVERY_SECONDS, act))

    def app(
        self,
        summary: str,
        *,
        version: str,
        routers: Sequence[APIRouter],
        errors: Mapping[type[Exception], int],
        development: Sequence[APIRouter] = (),
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
            guard=self.guard,
            development=[breaking.router(self.broker.disconnect), *development],
        )
