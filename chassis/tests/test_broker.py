"""The connection to the broker: it is made anew after whatever happens to it, and never pretends."""

import asyncio
from typing import cast

import httpx
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from chassis.messaging import broker as broker_module
from chassis.messaging.broker import BROKER_CONNECTED, DEAD_LETTERS, Broker, Unroutable
from chassis.messaging.envelope import SINGLE
from chassis.messaging.topology import EXCHANGE, Queue
from chassis.ports.errors import Unavailable
from chassis.testing import broker_urls, eventually
from tests.note_service import QUEUE, SERVICE
from tests.watch import value_of


class CountingConsumer:
    """Notes what the connection asks of a consumer."""

    stopping = False

    def __init__(self) -> None:
        self.channels: list[AbstractChannel] = []
        self.present = True
        self.cancelled_once = False
        self.consumes = True
        self.detached = 0

    async def attach(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self.present = True
        self.channels.append(channel)
        if self.consumes:
            await queue.consume(_acknowledge)

    async def detach(self) -> None:
        self.detached += 1

    async def attached(self) -> bool:
        if self.cancelled_once:
            self.cancelled_once = False
            raise asyncio.CancelledError
        return self.present and not self.channels[-1].is_closed


async def _acknowledge(message: AbstractIncomingMessage) -> None:
    await message.ack()


@pytest.fixture
async def consumer(broker: Broker, channel: AbstractChannel, monkeypatch: pytest.MonkeyPatch) -> CountingConsumer:
    monkeypatch.setattr(broker_module, "WATCH_EVERY_SECONDS", 0.1)
    consumer = CountingConsumer()
    broker.serve(consumer)
    await broker.start()
    await eventually(lambda: broker.connected)
    return consumer


async def test_a_message_that_no_queue_takes_is_not_published(broker: Broker, consumer: CountingConsumer) -> None:
    with pytest.raises(Unroutable):
        await broker.publish("nobody.reads", b"{}", SINGLE)
    results = await asyncio.gather(
        *(broker.publish(key, b"{}", SINGLE) for key in ("thing.happened", "nobody.reads") * 20),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), Unroutable] * 20


async def test_publishing_while_the_broker_is_away_fails_at_once(broker: Broker) -> None:
    with pytest.raises(Unavailable):
        await broker.publish("thing.happened", b"{}", SINGLE)
    assert await broker.problem() is not None


class Silent:
    """A channel on which nothing is ever confirmed."""

    is_closed = False

    async def get_exchange(self, name: str, *, ensure: bool) -> "Silent":
        return self

    async def publish(self, message: Message, routing_key: str, *, mandatory: bool) -> None:
        await asyncio.Event().wait()


async def test_a_message_without_an_answer_was_not_published(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "ANSWER_TIMEOUT_SECONDS", 0.05)
    broker._publishing = cast(AbstractChannel, Silent())
    with pytest.raises(Unavailable):
        await broker.publish("thing.happened", b"{}", SINGLE)


async def test_who_publishes_can_be_cancelled(broker: Broker) -> None:
    broker._publishing = cast(AbstractChannel, Silent())
    publishing = asyncio.create_task(broker.publish("thing.happened", b"{}", SINGLE))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing


class GivenUp:
    """A channel whose connection is given up, over a dead link, while a message waits to be confirmed: aiormq cancels
    the future then."""

    is_closed = False

    async def get_exchange(self, name: str, *, ensure: bool) -> "GivenUp":
        return self

    async def publish(self, message: Message, routing_key: str, *, mandatory: bool) -> None:
        loop = asyncio.get_running_loop()
        confirmation = loop.create_future()
        loop.call_soon(confirmation.cancel)
        await confirmation


async def test_a_message_whose_connection_is_given_up_was_not_confirmed_and_cancels_nobody(broker: Broker) -> None:
    broker._publishing = cast(AbstractChannel, GivenUp())
    with pytest.raises(Unavailable):
        await broker.publish("thing.happened", b"{}", SINGLE)


async def test_a_connection_that_the_broker_closes_is_made_anew(
    broker: Broker, consumer: CountingConsumer, rabbitmq_url: str
) -> None:
    await _close_connections(rabbitmq_url)
    await eventually(lambda: len(consumer.channels) == 2 and broker.connected)
    await broker.publish("thing.happened", b"{}", SINGLE)
    assert await broker.problem() is None


async def test_connections_that_are_cut_on_purpose_are_made_anew(broker: Broker, consumer: CountingConsumer) -> None:
    await broker.disconnect()
    await eventually(lambda: consumer.detached == 1)
    await eventually(lambda: broker.connected and len(consumer.channels) == 2)
    await broker.publish("thing.happened", b"{}", SINGLE)


async def test_a_publishing_channel_that_is_closed_is_made_anew_with_the_consumers_and_whoever_waits_for_it_is_told(
    broker: Broker, consumer: CountingConsumer
) -> None:
    told = []
    broker.on_connected = lambda: told.append(broker.connected)
    assert value_of(BROKER_CONNECTED) == 1
    with pytest.raises(Unavailable):
        await broker.publish("thing.happened", b"{}", SINGLE, exchange="nowhere")
    await eventually(lambda: value_of(BROKER_CONNECTED) == 0)
    await eventually(lambda: told)
    assert (told, len(consumer.channels), consumer.detached) == ([True], 2, 1)
    await broker.publish("thing.happened", b"{}", SINGLE)


async def test_a_consumer_that_the_broker_does_not_know_gets_a_new_connection(
    broker: Broker, channel: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "WATCH_EVERY_SECONDS", 0.1)
    mistaken = CountingConsumer()
    mistaken.consumes = False
    broker.serve(mistaken)
    await broker.start()
    await eventually(lambda: len(mistaken.channels) == 2)


async def test_the_dead_letters_are_counted(
    broker: Broker, consumer: CountingConsumer, channel: AbstractChannel
) -> None:
    await eventually(lambda: value_of(DEAD_LETTERS) == 0)
    await channel.default_exchange.publish(Message(b"{}"), f"{SERVICE}.dlq")
    await eventually(lambda: value_of(DEAD_LETTERS) == 1)


async def test_a_deleted_queue_is_declared_and_consumed_again(
    broker: Broker, consumer: CountingConsumer, channel: AbstractChannel
) -> None:
    await channel.queue_delete(SERVICE)
    await eventually(lambda: len(consumer.channels) == 2 and broker.connected)
    await broker.publish("thing.happened", b"{}", SINGLE)


async def test_a_deleted_binding_is_asserted_again(
    broker: Broker, consumer: CountingConsumer, channel: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await channel.get_queue(SERVICE)
    await queue.unbind(EXCHANGE, "thing.happened")
    monkeypatch.setattr(broker_module, "ASSERT_EVERY_SECONDS", 0.1)
    await _close_connections(broker._url())  # the next connection asserts often

    async def routable() -> bool:
        try:
            await broker.publish("thing.happened", b"{}", SINGLE)
        except (Unroutable, Unavailable):
            return False
        return True

    for _ in range(3):
        await eventually(routable)
        await queue.unbind(EXCHANGE, "thing.happened")
    await eventually(routable)


async def test_a_consumer_that_is_not_there_any_more_gets_a_new_connection(
    broker: Broker, consumer: CountingConsumer
) -> None:
    consumer.present = False
    await eventually(lambda: len(consumer.channels) == 2 and broker.connected)


async def test_an_answer_that_the_client_library_cancels_costs_a_connection_and_not_the_loop(
    consumer: CountingConsumer,
) -> None:
    consumer.cancelled_once = True
    await eventually(lambda: len(consumer.channels) == 2)


async def test_a_broker_that_is_not_there_yet_is_waited_for() -> None:
    tried = asyncio.Event()

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried.set()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    waiting = Broker(lambda: f"amqp://admin:admin@127.0.0.1:{port}/", QUEUE)
    await waiting.start()
    await asyncio.wait_for(tried.wait(), 15)
    assert await waiting.problem() is not None
    await waiting.stop()
    server.close()
    await server.wait_closed()


async def _close_connections(rabbitmq_url: str) -> None:
    """Closes all connections of the vhost from the broker's side, as an operator can."""
    vhost = rabbitmq_url.rsplit("/", 1)[1]
    _, management = broker_urls()
    closed = 0

    async with httpx.AsyncClient(base_url=management) as client:

        async def close_all() -> bool:
            nonlocal closed
            for connection in (await client.get(f"/api/vhosts/{vhost}/connections")).json():
                if connection.get("client_properties", {}).get("connection_name") == SERVICE:
                    closed += (await client.delete(f"/api/connections/{connection['name']}")).status_code == 204
            return closed > 0

        await eventually(close_all, seconds=60)  # the management API learns of a new connection late on a busy machine


async def test_a_verified_service_does_not_even_try_under_another_user_s_name() -> None:
    broker = Broker(lambda: "amqp://admin:secret@localhost:1/", Queue("order-service", ()), verified=True)
    with pytest.raises(Unavailable, match="logs in as admin, and must as order-service"):
        async with broker._connection():
            pass
