"""The feed on a real RabbitMQ: it takes part in nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import aiormq
import orjson
import pytest
from aio_pika.abc import AbstractChannel
from chassis.messaging.envelope import BATCH, SINGLE
from chassis.messaging.topology import EXCHANGE, Queue, assert_topology
from chassis.ports.events import routing_key
from chassis.testing import eventually, make_vhost

from application.events import LANES, READERS
from infrastructure import feed as feed_module
from infrastructure.feed import EventFeed
from operations.following import ARGUMENTS, documents
from tests.seen import document

READ_BY = {lane: [name for name, lanes in READERS.items() if lane in lanes] for lane in LANES}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "RETRY_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(feed_module, "COUNT_EVERY_SECONDS", 0.05)


class Bus:
    """A vhost of the test's own, and its queues as anybody sees them."""

    def __init__(self, url: str, channel: AbstractChannel) -> None:
        self.url = url
        self.channel = channel
        self.seen: list[Any] = []

    async def services_start(self, *lanes: str) -> None:
        for lane in lanes or LANES:
            await assert_topology(self.channel, Queue(lane, READ_BY[lane]))

    async def say(self, name: str, *, body: bytes | None = None, content_type: str = SINGLE) -> None:
        """Raises aio_pika's PublishError if no queue takes it."""
        message = aio_pika.Message(body or orjson.dumps(document(name)), content_type=content_type)
        exchange = await self.channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(message, routing_key(name), mandatory=True)

    async def routable(self, name: str) -> bool:
        try:
            await self.say(name)
        except aio_pika.exceptions.PublishError:
            return False
        return True

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[EventFeed]:
        feed = EventFeed(lambda: self.url, self.seen.extend)
        await feed.start()
        try:
            yield feed
        finally:
            await feed.stop()


@pytest.fixture
async def bus(rabbitmq_url: str) -> AsyncIterator[Bus]:
    url, _, remove = await asyncio.to_thread(make_vhost)
    try:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel(on_return_raises=True)
            await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            yield Bus(url, channel)
    finally:
        await asyncio.to_thread(remove)


def noted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The queues that are declared from now on, but for those that are only looked at."""
    declared: list[dict[str, Any]] = []
    real = aio_pika.Channel.declare_queue

    async def noting(channel: Any, name: str | None = None, **options: Any) -> Any:
        queue = await real(channel, name, **options)
        if not options.get("passive"):
            declared.append({"name": queue.name, **options})
        return queue

    monkeypatch.setattr(aio_pika.Channel, "declare_queue", noting)
    return declared


async def test_events_are_seen_while_somebody_looks(bus: Bus) -> None:
    await bus.services_start()
    async with bus.feed() as feed:
        await bus.say("OrderCreated")
        assert (feed.state, bus.seen) == ("resting", [])
        feed.look()
        await eventually(lambda: feed.state == "following")
        await bus.say("OrderConfirmed")
        batch = orjson.dumps([document("OrderFailed"), document("OrderFailed")])
        await bus.say("OrderFailed", body=batch, content_type=BATCH)
        await eventually(lambda: len(bus.seen) == 3)
    assert [seen["type"] for seen in bus.seen] == ["OrderConfirmed", "OrderFailed", "OrderFailed"]


async def test_no_event_becomes_routable_that_nobody_reads(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    await bus.services_start("order-service", "payment-service", "notification-service")
    declared = noted(monkeypatch)
    async with bus.feed() as feed:
        feed.look()
        await eventually(lambda: feed.state == "no-queues")
        assert declared == []
        assert not await bus.routable("OrderCreated")
        await bus.services_start("inventory-service")
        await eventually(lambda: feed.state == "following")


async def test_when_a_services_queue_vanishes_the_feed_lets_go(bus: Bus) -> None:
    await bus.services_start()
    async with bus.feed() as feed:
        feed.look()
        await eventually(lambda: feed.state == "following")
        await bus.channel.queue_delete("inventory-service")
        await eventually(lambda: feed.state == "no-queues")

        async def unroutable() -> bool:
            return not await bus.routable("OrderCreated")

        await eventually(unroutable)
        assert feed.waiting == {}


async def test_nothing_is_left_when_nobody_looks_any_more(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LOOKED_AT_FOR_SECONDS", 0.3)
    await bus.services_start()
    async with bus.feed() as feed:
        feed.look()
        await eventually(lambda: feed.state == "following")
        await eventually(lambda: feed.state == "resting")
        await bus.say("OrderCreated")
        assert bus.seen == []
        feed.look()
        await eventually(lambda: feed.state == "following")
        await bus.say("OrderConfirmed")
        await eventually(lambda: [seen["type"] for seen in bus.seen] == ["OrderConfirmed"])


async def test_its_queue_is_its_own_bounded_drops_the_oldest_and_goes_with_it(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus.services_start()
    declared = noted(monkeypatch)
    async with bus.feed() as feed:
        feed.look()
        await eventually(lambda: feed.state == "following")
        [own] = declared
        assert own["exclusive"]
        assert own["auto_delete"]
        assert own["arguments"] == {"x-queue-type": "classic", "x-max-length": 1000, "x-overflow": "drop-head"}
        async with await aio_pika.connect(bus.url) as stranger:
            channel = await stranger.channel()
            with pytest.raises(aiormq.exceptions.ChannelLockedResource):
                await channel.declare_queue(own["name"], passive=True)
    async with await aio_pika.connect(bus.url) as stranger:
        channel = await stranger.channel()
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await channel.declare_queue(own["name"], passive=True)


async def test_a_page_that_is_slow_loses_the_oldest_events_and_holds_nothing_up(bus: Bus) -> None:
    queue = await bus.channel.declare_queue(exclusive=True, arguments=ARGUMENTS)
    messages = [aio_pika.Message(str(number).encode()) for number in range(1_005)]
    await asyncio.gather(*(bus.channel.default_exchange.publish(message, queue.name) for message in messages))
    first = await queue.get(no_ack=True)
    assert first is not None
    assert first.body == b"5"


async def test_what_waits_is_counted(bus: Bus) -> None:
    await bus.services_start()
    for _ in range(3):
        await bus.say("OrderCreated")
    default = bus.channel.default_exchange
    for place, number in (("inventory-service.retry.1s", 1), ("inventory-service.retry.30s", 1)):
        for _ in range(number):
            await default.publish(aio_pika.Message(b"{}"), place)
    for _ in range(2):
        await default.publish(aio_pika.Message(b"{}"), "inventory-service.dlq")
    async with bus.feed() as feed:
        feed.look()

        def counted() -> bool:
            waiting = feed.waiting.get("inventory-service")
            return waiting is not None and waiting.queue >= 3 and waiting.retries >= 1 and waiting.dead_letters == 2

        await eventually(counted)


async def test_a_broker_that_goes_and_comes_is_followed_again(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    await bus.services_start()
    url, bus.url = bus.url, "amqp://a:b@localhost:1/"
    async with bus.feed() as feed:
        feed.look()
        await eventually(lambda: feed.state == "away")
        bus.url = url
        await eventually(lambda: feed.state == "following")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "text/plain"),
        (b"{}", None),
        (b"{", SINGLE),
        (b"\xff", SINGLE),
        (b"{}", BATCH),
        (b"7", BATCH),
        (b"[" + b"1," * 300_000 + b"1]", BATCH),
    ],
)
def test_a_message_that_is_no_event_is_passed_over(body: bytes, content_type: str | None) -> None:
    assert documents(body, content_type) == []


def test_a_message_is_one_event_or_a_batch() -> None:
    assert documents(b'{"a": 1}', f"{SINGLE}; charset=utf-8") == [{"a": 1}]
    assert documents(b'[{"a": 1}, 2]', BATCH) == [{"a": 1}, 2]
