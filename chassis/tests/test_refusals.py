"""The broker says no: what a queue refuses, or no queue takes, was neither published nor set aside, and is not lost."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import DeliveryError
from chassis.messaging import broker as broker_module
from chassis.messaging import consumer as consumer_module
from chassis.messaging.broker import Broker
from chassis.messaging.envelope import SINGLE
from chassis.messaging.publisher import Publisher
from chassis.messaging.topology import EXCHANGE
from chassis.ports.errors import Rejected, Unavailable
from chassis.ports.events import Received
from chassis.postgres.database import Database
from chassis.testing import eventually
from tests.consuming import Running, dead_letters, equals, orders, send
from tests.note_service import QUEUE, SERVICE, NotesUnitOfWork, happened, noted, outbox_size, take_notes
from tests.watch import committed, grow_old, is_empty, seen

FULL_AT_ONE = {"x-max-length": 1, "x-overflow": "reject-publish"}
DEAD_LETTERS = f"{SERVICE}.dlq"


@pytest.fixture(params=["classic", "quorum"])
async def full(
    request: pytest.FixtureRequest, broker: Broker, channel: AbstractChannel
) -> AsyncIterator[AbstractQueue]:
    """A queue that takes the service's events, and no more of them until it is purged."""
    await broker.start()
    await eventually(lambda: broker.connected)
    arguments = {"x-queue-type": request.param, **FULL_AT_ONE}
    queue = await channel.declare_queue("watch", durable=True, arguments=arguments)
    await queue.bind(EXCHANGE, "note.taken")

    async def refuses() -> bool:
        try:
            await broker.publish("note.taken", b"{}", SINGLE)
        except Unavailable:
            return True
        return False

    await eventually(refuses)
    yield queue
    await channel.queue_delete("watch")


async def test_a_message_that_a_full_queue_refuses_was_not_published(broker: Broker, full: AbstractQueue) -> None:
    with pytest.raises(Unavailable, match="did not confirm"):
        await broker.publish("note.taken", b"{}", SINGLE)
    assert broker.connected, "a refusal costs no connection"


async def test_an_event_that_a_full_queue_refuses_stays_and_goes_once_there_is_room(
    units: Callable[[], NotesUnitOfWork], database: Database, publisher: Publisher, full: AbstractQueue
) -> None:
    async with committed(units, 1) as ids:
        await publisher.stop()  # it has tried
        await grow_old(database)
        await publisher.sweep()
        assert await outbox_size(database) == 1
        await full.purge()

        async def gone() -> bool:
            await publisher.sweep()
            return await is_empty(database)

        await eventually(gone)
        assert await seen(full, 1) == ids


@asynccontextmanager
async def refusing(name: str, channel: AbstractChannel, rabbitmq_url: str) -> AsyncIterator[None]:
    """Under an operator's policy the queue takes one message and no more: it has it, until the end."""
    vhost = rabbitmq_url.rsplit("/", 1)[1]
    management = os.environ.get("RABBITMQ_MANAGEMENT_URL", "http://admin:admin@localhost:15672")
    policy = f"/api/policies/{vhost}/full"
    definition = {"max-length": 1, "overflow": "reject-publish"}

    async def refuses() -> bool:
        try:
            await channel.default_exchange.publish(Message(b"filler"), name)
        except DeliveryError:
            return True
        return False

    async with httpx.AsyncClient(base_url=management) as client:
        body = {"pattern": f"^{name}$", "definition": definition, "apply-to": "queues"}
        (await client.put(policy, json=body)).raise_for_status()
        await eventually(refuses)
        yield
        (await client.delete(policy)).raise_for_status()
    await (await channel.get_queue(name)).purge()


@pytest.mark.parametrize("queue", [DEAD_LETTERS, QUEUE.retry(30)])
async def test_an_event_that_cannot_be_set_aside_stays_in_its_queue_and_harms_none_beside_it(
    running: Running,
    channel: AbstractChannel,
    database: Database,
    rabbitmq_url: str,
    monkeypatch: pytest.MonkeyPatch,
    queue: str,
) -> None:
    monkeypatch.setattr(broker_module, "WATCH_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(consumer_module, "RETRY_DELAYS_SECONDS", (30,))
    unreadable, bad, good = happened(data={}), happened(), happened()
    tried = 0
    mended = False

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal tried
        if any(event.data.order_id in orders(bad) for event in events) and not mended:
            tried += len(events) == 1
            raise Rejected("unknown-order", "never heard of it") if queue == DEAD_LETTERS else ValueError("no luck")
        await take_notes(events, unit)

    async with running(use_case):
        async with refusing(queue, channel, rabbitmq_url):
            await send(channel, *([unreadable] if queue == DEAD_LETTERS else []), bad, good)
            await eventually(lambda: tried >= 3)
            await eventually(lambda: equals(noted(database), orders(good)))
        if queue == DEAD_LETTERS:
            letters = await dead_letters(channel, 2)
            assert [orjson.loads(letter.body) for letter in letters] == [unreadable, bad]
        else:
            mended = True
            await eventually(lambda: equals(noted(database), orders(bad, good)))


@pytest.mark.parametrize("queue", [DEAD_LETTERS, QUEUE.retry(1)])
async def test_an_event_whose_place_aside_is_gone_stays_until_it_is_made_anew(
    running: Running, channel: AbstractChannel, monkeypatch: pytest.MonkeyPatch, queue: str
) -> None:
    monkeypatch.setattr(broker_module, "WATCH_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(consumer_module, "RETRY_DELAYS_SECONDS", (1,))
    event = happened()
    tried = 0

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            await channel.queue_delete(queue)
        raise Rejected("unknown-order", "never heard of it") if queue == DEAD_LETTERS else ValueError("no luck")

    async with running(use_case):
        await send(channel, event)
        await eventually(lambda: tried > 1)
        (letter,) = await dead_letters(channel, 1)
    assert orjson.loads(letter.body) == event
