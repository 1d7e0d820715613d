"""The plumbing of a service with a database, put together once: what is left to its main.py is what only it has."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeVar

from chassis import inbox, logs
from chassis.app import Part, create_app
from chassis.broker import Broker
from chassis.consumer import Consumer, Receiving
from chassis.database import Database
from chassis.events import Decoder, Encoder, Received, Wire
from chassis.outbox import SWEEP_EVERY_SECONDS, Outbox
from chassis.periodic import Periodic
from chassis.reminders import REMIND_EVERY_SECONDS, Reminded, Waiting, reminding
from chassis.settings import DatabaseSettings
from chassis.topology import Queue
from chassis.unit_of_work import UnitOfWork
from fastapi import APIRouter, FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

PRUNE_EVERY_SECONDS = 600.0

A = TypeVar("A", bound=Waiting)
R = TypeVar("R")
U = TypeVar("U", bound=Receiving)
W = TypeVar("W", bound=UnitOfWork)
Prune = Callable[[AsyncConnection], Awaitable[None]]


class Service:
    """`published` maps each event class to its routing key, `consumed` each event that is read to the class for it."""

    def __init__(
        self,
        name: str,
        settings: DatabaseSettings,
        *,
        version: str,
        schema: str,
        published: Mapping[type, str],
        consumed: Mapping[Wire, type],
    ) -> None:
        logs.configure(name, settings)
        self.name = name
        self.version = version
        self.database = Database(settings, service=name, schema=schema)
        self.broker = Broker(settings.rabbitmq_url, Queue(name, [wire.routing_key for wire in consumed]))
        self.outbox = Outbox(self.database, self.broker)
        self.encoder = Encoder(name, published)
        self._decoder = Decoder(consumed)

    def units(self, kind: type[W]) -> Callable[[], W]:
        """Makes this service's units of work."""
        return partial(kind, self.database, self.encoder, self.outbox)

    def reading(self, repository: Callable[[AsyncConnection], R]) -> Callable[[], AbstractAsyncContextManager[R]]:
        """For requests that only read: a repository on a connection without a transaction."""

        @asynccontextmanager
        async def read() -> AsyncIterator[R]:
            async with self.database.autocommit() as connection:
                yield repository(connection)

        return read

    def reminders(
        self, units: Callable[[], AbstractAsyncContextManager[W]], waiting: Callable[[W], Reminded[A]]
    ) -> Periodic:
        """The job that lets the aggregates of that repository ask again."""
        return Periodic("reminders", REMIND_EVERY_SECONDS, reminding(self.outbox, units, waiting))

    def app(
        self,
        summary: str,
        *,
        units: Callable[[], AbstractAsyncContextManager[U]],
        consume: Callable[[Sequence[Received], U], Awaitable[None]],
        routers: Sequence[APIRouter],
        workers: Sequence[Part] = (),
        jobs: Sequence[Periodic] = (),
        prune: Sequence[Prune] = (),
        errors: Mapping[type[Exception], int],
    ) -> FastAPI:
        """The application: `consume` is run on what arrives, `jobs` and `prune` by themselves. `workers` do what these
        leave to them; they are stopped after them, and before the outbox."""
        consumer = Consumer(self.broker, service=self.name, decoder=self._decoder, units=units, use_case=consume)

        sweep = Periodic("outbox sweep", SWEEP_EVERY_SECONDS, self.outbox.sweep)
        self.broker.on_connected = sweep.wake

        def pruning(forget: Prune) -> Periodic:
            async def act() -> None:
                async with self.database.autocommit() as connection:
                    await forget(connection)

            return Periodic(f"pruning by {forget.__module__}", PRUNE_EVERY_SECONDS, act)

        return create_app(
            service=self.name,
            version=self.version,
            summary=summary,
            routers=routers,
            parts=[
                self.database,
                self.broker,
                self.outbox,
                *workers,
                consumer,
                sweep,
                *(pruning(forget) for forget in (inbox.prune, *prune)),
                *jobs,
            ],
            checks={
                "database": self.database.problem,
                "broker": self.broker.problem,
                "consumer": consumer.problem,
                "outbox": self.outbox.problem,
            },
            ready=("database",),
            errors=errors,
        )
