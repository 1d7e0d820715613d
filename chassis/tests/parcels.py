"""Parcels: an aggregate with a column of every type that services use, in PostgreSQL and in its stand-in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import count
from typing import Any, ClassVar, TypeVar, cast
from uuid import UUID

import pytest
from chassis.ports.errors import Conflict
from chassis.ports.ids import uuid7
from chassis.postgres.database import Database
from chassis.postgres.repository import Mapped, PostgresRepository, delete_in_batches
from chassis.postgres.tables import service_metadata
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.testing import eventually
from chassis.testing.memory import MemoryDatabase, Server
from chassis.testing.units import RecordingPublisher
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    Numeric,
    Table,
    Text,
    Uuid,
    bindparam,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.note_service import TRACE
from tests.watch import waiting_for_a_lock

LEAST, GREATEST = UUID(int=1), UUID(int=(1 << 128) - 1)

R = TypeVar("R")

metadata = service_metadata(idempotency_keys=True)
parcels = Table(
    "parcels",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False, unique=True),
    Column("courier_id", Uuid),
    Column("status", Text, nullable=False),
    Column("status_before", Text),
    Column("reason", Text),
    Column("worth", Numeric(12, 2), nullable=False),
    Column("charge", Numeric(12, 2)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("grams", BigInteger, nullable=False),
    Column("fragile", Boolean, nullable=False, server_default="false"),
    Column("lines", JSONB, nullable=False),
    Column("stops", JSONB),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True)),
    Column("remind_at", DateTime(timezone=True), server_default=text("now()")),
    Column("traceparent", Text, nullable=False),
)


class Status(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Line:
    product_id: UUID
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Stop:
    at: datetime
    status: Status
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    name: ClassVar[str] = "ParcelTold"

    order_id: UUID
    what: str


@dataclass
class Parcel:
    id: UUID
    order_id: UUID
    courier_id: UUID | None
    status: Status
    status_before: Status | None
    reason: str | None
    worth: Decimal
    charge: Decimal | None
    attempts: int
    grams: int
    fragile: bool
    lines: tuple[Line, ...]
    stops: tuple[Stop, ...] | None
    expires_at: datetime
    remind_at: datetime | None
    traceparent: str
    events: list[Any] = field(default_factory=list, compare=False, repr=False)
    repeats: list[Any] = field(default_factory=list, compare=False, repr=False)

    @property
    def due_at(self) -> datetime | None:
        """While the parcel waits, when it expires: a column without a field."""
        return self.expires_at if self.status is Status.WAITING else None

    def tell(self, what: str) -> None:
        self.events.append(Told(self.order_id, what))


PARCELS = Mapped(parcels, Parcel, key="order_id")
DUE = PARCELS.lock_due(parcels.c.due_at)
FRAGILE_DUE = PARCELS.lock_due(parcels.c.due_at, parcels.c.fragile == bindparam("fragile"))
TO_REMIND = PARCELS.lock_due(parcels.c.remind_at)
OF_COURIER = PARCELS.page(parcels.c.id, parcels.c.courier_id == bindparam("courier_id"))
OF_STATUS = PARCELS.find(parcels.c.status == bindparam("status"))
WAITING_FOR = PARCELS.find(parcels.c.due_at == bindparam("due_at"))
WAITING_OF_COURIERS = PARCELS.count(parcels.c.courier_id, parcels.c.due_at)
WITH_REASON = PARCELS.find(parcels.c.reason >= "2", parcels.c.status != Status.LOST)
OLD_LOST = PARCELS.prune(parcels.c.remind_at, parcels.c.status == Status.LOST)

_numbers = count(1)


def a_parcel(order_id: UUID | None = None, **changes: Any) -> Parcel:
    """A parcel that waits for a day from now on, and differs from the others."""
    number, expires_at = next(_numbers), datetime.now(UTC) + timedelta(days=1)
    parcel = Parcel(
        id=uuid7(),
        order_id=order_id or uuid7(),
        courier_id=None,
        status=Status.WAITING,
        status_before=None,
        reason=None,
        worth=Decimal("1.00"),
        charge=None,
        attempts=0,
        grams=number,
        fragile=False,
        lines=(Line(uuid7(), number, Decimal("1.00")),),
        stops=None,
        expires_at=expires_at,
        remind_at=None,
        traceparent=TRACE,
    )
    for name, value in changes.items():
        setattr(parcel, name, value)
    return parcel


class PostgresParcels(PostgresRepository[Parcel]):
    mapped = PARCELS


class Watched:
    """A connection, and what was executed on it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.executed: list[tuple[str, Mapping[str, Any]]] = []
        self.commit_fails_with: Exception | None = None

    async def execute(self, statement: Any, parameters: Mapping[str, Any] | None = None) -> Any:
        does = statement.get_execution_options().get("does", (str(statement),))
        self.executed.append((does[0], parameters or {}))
        return await self._connection.execute(statement, parameters)

    async def commit(self) -> None:
        if self.commit_fails_with:
            raise self.commit_fails_with
        await self._connection.commit()

    async def close(self) -> None:
        await self._connection.close()


class ParcelsUnitOfWork(UnitOfWork):
    """With two repositories of the same table, neither of which knows what the other has loaded."""

    parcels: PostgresParcels
    others: PostgresParcels
    watched: Watched

    def open_repositories(self) -> None:
        self.watched = Watched(self.connection)
        self.connection = cast(AsyncConnection, self.watched)
        self.parcels = self.tracked(PostgresParcels(self.connection))
        self.others = self.tracked(PostgresParcels(self.connection))

    def written(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [does for does in self.watched.executed if does[0] in ("insert", "update")]


class Store:
    """What the suite runs on: PostgreSQL, or its stand-in."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.publisher = RecordingPublisher()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[ParcelsUnitOfWork]:
        async with ParcelsUnitOfWork(self.database, self.publisher) as unit:
            await unit.start()
            yield unit

    async def run(self, act: Callable[[ParcelsUnitOfWork], Awaitable[R]]) -> R:
        """As consumers and commands do: again and again while another transaction wins."""
        while True:
            try:
                async with self.unit() as unit:
                    result = await act(unit)
                    await unit.commit()
                    return result
            except Conflict:
                continue

    async def add(self, *added: Parcel) -> None:
        async with self.unit() as unit:
            for parcel in added:
                unit.parcels.add(parcel)
            await unit.commit()

    async def change(self, order_id: UUID, **changes: Any) -> None:
        async with self.unit() as unit:
            for parcel in (await unit.parcels.locked([order_id])).values():
                for name, value in changes.items():
                    setattr(parcel, name, value)
            await unit.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[PostgresParcels]:
        async with self.database.autocommit() as connection:
            yield PostgresParcels(connection)

    async def kept(self, *order_ids: UUID) -> list[Parcel]:
        """Those of the committed parcels that are there."""
        async with self.reading() as repository:
            found = await repository.get(order_ids)
        return [found[order_id] for order_id in order_ids if order_id in found]

    async def prune(self) -> None:
        async with self.database.autocommit() as connection:
            await delete_in_batches(connection, OLD_LOST)

    async def waits(self, *tasks: asyncio.Task[Any]) -> None:
        """Returns once each of these waits for a transaction other than its own."""
        raise NotImplementedError


class PostgresStore(Store):
    async def waits(self, *tasks: asyncio.Task[Any]) -> None:
        async def all_wait() -> bool:
            assert not any(task.done() for task in tasks), "somebody has not waited"
            return len(await waiting_for_a_lock(self.database)) == len(tasks)

        await eventually(all_wait)


class MemoryStore(Store):
    async def waits(self, *tasks: asyncio.Task[Any]) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks), "somebody has not waited"


@pytest.fixture(params=["postgresql", "memory"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """None for the stand-in, which needs no server."""
    return request.getfixturevalue("database_url") if request.param == "postgresql" else None


@pytest.fixture
async def store(store_url: str | None) -> AsyncIterator[Store]:
    if store_url is None:
        yield MemoryStore(cast(Database, MemoryDatabase(Server())))
        return
    database = Database(lambda: store_url, pool_size=10, service="parcel-service", schema="public")
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield PostgresStore(database)
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    await database.stop()


def keys(found: Sequence[Parcel]) -> list[UUID]:
    return [parcel.order_id for parcel in found]
