"""The outbox from both its ends: what units of work and crashes leave in it, and what comes out of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import orjson
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from chassis.messaging.broker import Broker, Unroutable
from chassis.messaging.envelope import encode
from chassis.messaging.publisher import Publisher
from chassis.messaging.topology import EXCHANGE
from chassis.ports.ids import uuid7
from chassis.postgres.database import Database
from chassis.postgres.outbox import OutboxRows
from chassis.postgres.unit_of_work import NOW
from chassis.testing import eventually
from prometheus_client import Counter, Gauge
from sqlalchemy import text
from tests.note_service import QUEUE, SERVICE, TRACE, Note, NotesUnitOfWork, NoteTaken, outbox_size

NOBODY_READS = "nobody.reads"

_AGE = text("UPDATE outbox SET created_at = now() - make_interval(secs => 10)")
_LEAVE = text(
    """
    INSERT INTO outbox (id, type, routing_key, order_id, body, created_at)
    VALUES (:id, 'NoteTaken', :key, :order, :body, now() - make_interval(secs => :age))
    """
)


class SlowBroker(Broker):
    """Confirms nothing until it is told to, and never what nobody reads."""

    def __init__(self) -> None:
        super().__init__(lambda: "", QUEUE)
        self.there = True
        self.confirms = asyncio.Event()
        self.messages: list[tuple[str, int]] = []

    async def start(self) -> None:
        pass

    @property
    def connected(self) -> bool:
        return self.there

    async def publish(
        self,
        routing_key: str,
        body: bytes,
        content_type: str | None,
        *,
        exchange: str = EXCHANGE,
        headers: Mapping[str, str | int] | None = None,
    ) -> None:
        document = orjson.loads(body)
        self.messages.append((routing_key, len(document) if isinstance(document, list) else 1))
        await self.confirms.wait()
        if routing_key == NOBODY_READS:
            raise Unroutable(routing_key)

    def events(self) -> dict[str, int]:
        """How many of each routing key were tried, however many messages that were."""
        tried: dict[str, int] = {}
        for routing_key, number in self.messages:
            tried[routing_key] = tried.get(routing_key, 0) + number
        return tried


async def seen(queue: AbstractQueue, number: int) -> list[str]:
    """The orders of the next events in the queue, in their order."""
    orders: list[str] = []

    async def enough() -> bool:
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            assert message.delivery_mode == 2, "messages survive a restart of the broker"
            document = orjson.loads(message.body)
            orders.extend(event["subject"] for event in (document if isinstance(document, list) else [document]))
        return len(orders) >= number

    await eventually(enough)
    return orders


@asynccontextmanager
async def committed(units: Callable[[], NotesUnitOfWork], number: int) -> AsyncIterator[list[str]]:
    """The orders of so many new notes, each of which has an event."""
    async with units() as unit:
        await unit.start()
        order_ids = sorted(unit.notes.add(Note.take(uuid7())).order_id for _ in range(number))
        await unit.commit()
    yield [str(order_id) for order_id in order_ids]


async def left_behind(
    database: Database,
    number: int = 1,
    *,
    age_seconds: int = 10,
    routing_key: str = "note.taken",
    ids: Sequence[UUID] = (),
) -> list[str]:
    """Rows as a process leaves them that dies between its commit and its publishing; each is of an order with the same
    id as its event."""
    event_ids = list(ids) or [uuid7() for _ in range(number)]
    rows = []
    async with database.autocommit() as connection:
        now = (await connection.execute(NOW)).scalar_one()
        for event_id in event_ids:
            body = encode(SERVICE, NoteTaken(event_id), event_id=event_id, time=now, traceparent=TRACE).body.decode()
            rows.append({"id": event_id, "key": routing_key, "order": str(event_id), "body": body, "age": age_seconds})
        await connection.execute(_LEAVE, rows)
    return [str(event_id) for event_id in event_ids]


def value_of(metric: Counter | Gauge) -> float:
    return sum(sample.value for family in metric.collect() for sample in family.samples if "created" not in sample.name)


async def grow_old(database: Database) -> None:
    """As if what is in the outbox had been left behind."""
    async with database.autocommit() as connection:
        await connection.execute(_AGE)


async def waiting_for_a_lock(database: Database) -> list[int]:
    async with database.autocommit() as connection:
        waiting = text(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return list((await connection.execute(waiting)).scalars())


async def is_empty(database: Database) -> bool:
    return await outbox_size(database) == 0


@pytest.fixture
async def watch(broker: Broker, channel: AbstractChannel) -> AsyncIterator[AbstractQueue]:
    """A queue that the service's events are routed to, with the broker connected."""
    await broker.start()
    await eventually(lambda: broker.connected)
    queue = await channel.declare_queue("watch", durable=True)
    await queue.bind(EXCHANGE, "note.taken")
    yield queue
    await channel.queue_delete("watch")


@pytest.fixture
async def slow() -> SlowBroker:
    return SlowBroker()


@pytest.fixture
async def slow_publisher(database: Database, slow: SlowBroker) -> AsyncIterator[Publisher]:
    publisher = Publisher(OutboxRows(database), slow, SERVICE)
    yield publisher
    slow.confirms.set()
    await publisher.stop()


@pytest.fixture
def slow_units(database: Database, slow_publisher: Publisher) -> Callable[[], NotesUnitOfWork]:
    return lambda: NotesUnitOfWork(database, slow_publisher)


@pytest.fixture
async def observer(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of somebody else's on the database."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()
