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
from chassis.postgres.database import Database
from chassis.ports.ids import uuid7
from chassis.messaging.publisher import Outbox
from chassis.testing import eventually
from chassis.messaging.topology import EXCHANGE
from chassis.postgres.unit_of_work import UnitOfWork
from prometheus_client import Counter, Gauge
from sqlalchemy import text
from tests.note_service import ENCODER, QUEUE, TRACE, Noted, outbox_size

NOBODY_READS = "nobody.reads"

_AGE = text("UPDATE outbox SET created_at = now() - make_interval(secs => 10)")
_LEAVE = text(
    """
    INSERT INTO outbox (id, type, routing_key, order_id, body, created_at)
    VALUES (:id, 'Noted', :key, :order, :body, now() - make_interval(secs => :age))
    """
)


class SlowBroker(Broker):
    """Confirms nothing until it is told to, and never what nobody reads."""

    def __init__(self) -> None:
        super().__init__("", QUEUE)
        self.there = True
        self.confirms = asyncio.Event()
        self.messages: list[tuple[str, int]] = []

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
    """The ids of the next events in the queue, in their order."""
    ids: list[str] = []

    async def enough() -> bool:
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            assert message.delivery_mode == 2, "messages survive a restart of the broker"
            document = orjson.loads(message.body)
            ids.extend(event["id"] for event in (document if isinstance(document, list) else [document]))
        return len(ids) >= number

    await eventually(enough)
    return ids


@asynccontextmanager
async def committed(units: Callable[[], UnitOfWork], number: int) -> AsyncIterator[list[str]]:
    async with units() as unit:
        await unit.start()
        for _ in range(number):
            unit.publish(Noted(uuid7()), TRACE)
        ids = [str(event.id) for event in unit._events]
        await unit.commit()
    yield ids


async def left_behind(
    database: Database,
    number: int = 1,
    *,
    age_seconds: int = 10,
    routing_key: str = "note.noted",
    ids: Sequence[UUID] = (),
) -> list[str]:
    """Rows as a process leaves them that dies between its commit and its publishing."""
    event_ids = list(ids) or [uuid7() for _ in range(number)]
    rows = []
    async with database.autocommit() as connection:
        now = (await connection.execute(text("SELECT now()"))).scalar_one()
        for event_id in event_ids:
            order_id = uuid7()
            body = ENCODER.encode(Noted(order_id), event_id=event_id, time=now, traceparent=TRACE).body.decode()
            rows.append({"id": event_id, "key": routing_key, "order": str(order_id), "body": body, "age": age_seconds})
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
    await queue.bind(EXCHANGE, "note.noted")
    yield queue
    await channel.queue_delete("watch")


@pytest.fixture
async def slow() -> SlowBroker:
    return SlowBroker()


@pytest.fixture
async def slow_outbox(database: Database, slow: SlowBroker) -> AsyncIterator[Outbox]:
    outbox = Outbox(database, slow)
    yield outbox
    slow.confirms.set()
    await outbox.stop()


@pytest.fixture
def slow_units(database: Database, slow_outbox: Outbox) -> Callable[[], UnitOfWork]:
    return lambda: UnitOfWork(database, ENCODER, slow_outbox)


@pytest.fixture
async def observer(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of somebody else's on the database."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()
