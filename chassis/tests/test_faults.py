"""Each fault shows in the check that is about it and in no other, until it is over. On real servers."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import orjson
import pytest
from aio_pika import ExchangeType, Message
from chassis.http import health
from chassis.messaging import broker as broker_module
from chassis.messaging.broker import Broker
from chassis.messaging.envelope import SINGLE
from chassis.messaging.topology import EXCHANGE
from chassis.ports.events import Received
from chassis.runtime import jobs
from chassis.runtime import service as service_module
from chassis.runtime.jobs import Periodic
from chassis.runtime.service import Service
from chassis.runtime.settings import DatabaseSettings
from chassis.testing import eventually
from tests.note_service import CONSUMED, SERVICE, NotesUnitOfWork, happened, metadata, red_checks, take_notes

NEVER = 3600.0


@dataclass
class Running:
    """A service with one job of its own, what a test may do to it, and to its servers."""

    database_url: str
    rabbitmq_url: str
    client: httpx.AsyncClient = field(init=False)
    runs: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False
    interrupted: set[str] = field(default_factory=set)
    noted: set[str] = field(default_factory=set)

    async def job(self) -> None:
        await self.runs.wait()
        if self.fails:
            raise RuntimeError("each time")

    async def use_case(self, events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        orders = {event.order_id for event in events}
        if orders & self.interrupted:
            self.interrupted -= orders
            raise asyncio.CancelledError  # as a library does that gives up what it waits for
        await take_notes(events, unit)
        self.noted |= orders

    async def red(self, path: str = "/health") -> dict[str, str]:
        return red_checks(await self.client.get(path))

    async def shows(self, *names: str) -> None:
        """Returns once exactly these checks fail."""
        red: dict[str, str] = {}

        async def exactly() -> bool:
            nonlocal red
            red = await self.red()
            return set(red) == set(names)

        try:
            await eventually(exactly)
        except TimeoutError:
            pytest.fail(f"{red} instead of {names}")

    async def execute(self, *statements: str, database: str | None = None) -> object:
        """The first value that the last statement returns."""
        url = self.database_url.replace("+asyncpg", "")
        connection = await asyncpg.connect(url if database is None else f"{url.rpartition('/')[0]}/{database}")
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        async with await aio_pika.connect(self.rabbitmq_url) as connection:
            yield await connection.channel()

    async def send(self, event: dict[str, Any]) -> None:
        async with self.channel() as channel:
            exchange = await channel.get_exchange(EXCHANGE)
            await exchange.publish(Message(orjson.dumps(event), content_type=SINGLE), "thing.happened")


@asynccontextmanager
async def management() -> AsyncIterator[httpx.AsyncClient]:
    url = os.environ.get("RABBITMQ_MANAGEMENT_URL", "http://admin:admin@localhost:15672")
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield client


async def close_connections(rabbitmq_url: str) -> None:
    """From the broker's side, both of the service's."""
    closed = 0
    async with management() as client:

        async def close() -> bool:
            nonlocal closed
            for connection in (await client.get(f"/api/vhosts/{_vhost(rabbitmq_url)}/connections")).json():
                if connection.get("client_properties", {}).get("connection_name") == SERVICE:
                    closed += (await client.delete(f"/api/connections/{connection['name']}")).status_code == 204
            return closed >= 2

        await eventually(close, seconds=60)  # the management API learns of a new connection late on a busy machine


@asynccontextmanager
async def refusing(rabbitmq_url: str) -> AsyncIterator[None]:
    """The broker takes no new connection; those that are there stay."""
    limit = f"/api/vhost-limits/{_vhost(rabbitmq_url)}/max-connections"
    async with management() as client:
        (await client.put(limit, json={"value": 0})).raise_for_status()
        try:
            yield
        finally:
            (await client.delete(limit)).raise_for_status()


def _vhost(rabbitmq_url: str) -> str:
    return rabbitmq_url.rpartition("/")[2]


Start = Callable[[], AbstractAsyncContextManager[Running]]


@pytest.fixture
def running(database_url: str, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    # Nothing is mended by looking unless the test wants it, so that what is red stays so until it is seen.
    monkeypatch.setattr(broker_module, "WATCH_EVERY_SECONDS", NEVER)
    monkeypatch.setattr(service_module, "SWEEP_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(jobs, "LATE_AFTER_SECONDS", 2.0)

    @asynccontextmanager
    async def run() -> AsyncIterator[Running]:
        world = Running(database_url, rabbitmq_url)
        world.runs.set()
        settings = DatabaseSettings(database_url=database_url, rabbitmq_url=rabbitmq_url)
        service = Service.connected(SERVICE, settings, schema="public", unit_of_work=NotesUnitOfWork, consumed=CONSUMED)
        service.consumes(world.use_case)
        service.jobs.append(Periodic("the job", 0.2, world.job))
        async with service.database.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        app = service.app("", version="1", routers=[], errors={})
        try:
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notes") as world.client,
            ):
                yield world
        finally:
            await world.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
            async with world.channel() as channel:
                for queue in (SERVICE, f"{SERVICE}.dlq", "late"):
                    await channel.queue_delete(queue)
            gc.collect()  # aio-pika closes a connection that was never made when it is collected, which needs the loop

    return run


@asynccontextmanager
async def database_away(world: Running) -> AsyncIterator[None]:
    name = world.database_url.rpartition("/")[2]
    await world.execute(
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'",
        database="postgres",
    )
    try:
        yield
    finally:
        await world.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", database="postgres")


@asynccontextmanager
async def schema_not_migrated(world: Running) -> AsyncIterator[None]:
    await world.execute("ALTER TABLE inbox RENAME TO later", "ALTER TABLE outbox RENAME TO later_too")
    yield
    await world.execute("ALTER TABLE later RENAME TO inbox", "ALTER TABLE later_too RENAME TO outbox")


@asynccontextmanager
async def broker_away(world: Running) -> AsyncIterator[None]:
    async with refusing(world.rabbitmq_url):
        await close_connections(world.rabbitmq_url)
        yield


@asynccontextmanager
async def consumer_cancelled(world: Running) -> AsyncIterator[None]:
    async with world.channel() as channel:
        await channel.queue_delete(SERVICE)
    yield
    await close_connections(world.rabbitmq_url)


@asynccontextmanager
async def consumer_loop_ended(world: Running) -> AsyncIterator[None]:
    event = happened()
    world.interrupted.add(str(event["subject"]))
    await world.send(event)
    yield
    await close_connections(world.rabbitmq_url)
    await eventually(lambda: event["subject"] in world.noted)


WAITING = (
    "INSERT INTO outbox VALUES (gen_random_uuid(), 'NoteTaken', 'read.late', 'x', '{}', now() - interval '1 minute')"
)


async def read_late(rabbitmq_url: str) -> None:
    """Makes the queue that takes what waits."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        await (await channel.declare_queue("late", durable=True)).bind(exchange, "read.late")


@asynccontextmanager
async def event_stuck(world: Running) -> AsyncIterator[None]:
    await world.execute(WAITING)
    yield
    await read_late(world.rabbitmq_url)


@asynccontextmanager
async def job_hangs(world: Running) -> AsyncIterator[None]:
    world.runs.clear()
    yield
    world.runs.set()


@asynccontextmanager
async def job_fails(world: Running) -> AsyncIterator[None]:
    world.fails = True
    yield
    world.fails = False


@pytest.mark.parametrize(
    ("fault", "shown", "ready"),
    [
        (database_away, {"database"}, False),
        (schema_not_migrated, {"database"}, False),
        (broker_away, {"broker", "consumer"}, True),
        (consumer_cancelled, {"consumer"}, True),
        (consumer_loop_ended, {"consumer"}, True),
        (event_stuck, {"outbox"}, True),
        (job_hangs, {"jobs"}, True),
        (job_fails, {"jobs"}, True),
    ],
)
async def test_each_fault_shows_in_its_own_check_and_in_no_other_until_it_is_over(
    running: Start,
    fault: Callable[[Running], AbstractAsyncContextManager[None]],
    shown: set[str],
    ready: bool,
) -> None:
    async with running() as world:
        await world.shows()
        async with fault(world):
            await world.shows(*shown)
            assert (await world.red("/health/ready") == {}) == ready
            assert await world.red("/health/live") == {}
            if shown == {"jobs"}:
                assert (await world.red())["jobs"].startswith("the job: ")
        await world.shows()
        assert await world.red("/health/ready") == {}


async def test_a_consumer_whose_loop_ended_is_mended_by_the_watch_of_its_connection(
    running: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "WATCH_EVERY_SECONDS", 0.1)
    async with running() as world:
        await world.shows()
        event = happened()
        world.interrupted.add(str(event["subject"]))
        await world.send(event)
        await eventually(lambda: event["subject"] in world.noted)
        await world.shows()


class Panic(BaseException):
    """As extensions written in Rust raise."""


async def test_nothing_that_is_raised_ends_the_loop_that_keeps_the_connections(broker: Broker) -> None:
    raised: list[Panic] = []

    def panic_once() -> None:
        if not raised:
            raised.append(Panic())
            raise raised[0]

    broker.on_connected = panic_once
    await broker.start()
    await eventually(lambda: raised and broker.connected)
    assert await broker.problem() is None


async def test_a_consumer_that_stays_away_though_the_broker_is_there_asks_for_a_restart(
    running: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "RESTART_AFTER_SECONDS", 0)
    async with running() as world:
        await world.shows()
        async with consumer_cancelled(world):
            await world.shows("consumer")
            assert await world.red("/health/live") == {"consumer": f"not consuming {SERVICE}"}
        await world.shows()
        assert await world.red("/health/live") == {}


async def test_what_waits_in_the_outbox_is_sent_as_soon_as_the_broker_is_there(
    running: Start, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the next sweep: that would be in an hour."""
    monkeypatch.setattr(service_module, "SWEEP_EVERY_SECONDS", NEVER)
    await read_late(rabbitmq_url)
    async with AsyncExitStack() as away:
        await away.enter_async_context(refusing(rabbitmq_url))
        async with running() as world:
            await world.shows("broker", "consumer")
            await world.execute(WAITING)
            await away.aclose()

            async def sent() -> bool:
                return await world.execute("SELECT count(*) FROM outbox") == 0

            await eventually(sent)
