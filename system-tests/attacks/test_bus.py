"""What a service's own broker credentials can be used for, by whoever has got hold of them: for its own part, and for
nothing else. On the real broker, furnished as in production."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest
from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed
from chassis.messaging import consumer as consumer_module
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import Consumer
from chassis.messaging.envelope import SINGLE, Decoder
from chassis.messaging.origin import OPERATOR
from chassis.messaging.topology import DEAD_LETTER_EXCHANGE, EXCHANGE, Queue, assert_topology
from chassis.ports.errors import Rejected
from chassis.ports.events import Received
from chassis.testing import broker_urls, eventually

from attacks.production import Guarded, guarded
from operations.addresses import SERVICES, Refused
from operations.dead_letters import act
from system import ROOT

ORDER, INVENTORY, PAYMENT, NOTIFICATION = SERVICES
KEYS = {ORDER: "order.created", INVENTORY: "inventory.reserved", PAYMENT: "payment.processed"}
"""One that each publisher may use."""
OTHERS = [(thief, victim) for thief in SERVICES for victim in SERVICES if thief != victim]


@pytest.fixture(scope="module")
async def bus(rabbitmq_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    async with guarded(tmp_path_factory.mktemp("secrets")) as broker:
        done = await broker.load()
        assert done.returncode == 0, done.stderr
        yield broker


def event(name: str, **changes: Any) -> dict[str, Any]:
    [path] = ROOT.glob(f"*/contracts/{name}.example.json")
    example: dict[str, Any] = json.loads(path.read_text())
    return example | {"id": str(uuid4())} | changes


async def publish(
    channel: AbstractChannel, document: object, key: str, *, exchange: str = EXCHANGE, **properties: Any
) -> None:
    target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
    await target.publish(Message(json.dumps(document).encode(), content_type=SINGLE, **properties), key)


# What the broker refuses


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_finds_what_it_needs_and_publishes_what_is_its_own(service: str, bus: Guarded) -> None:
    async with bus.channel(service) as channel:
        own = await assert_topology(channel, Queue(service, ()), passive=True)
        assert await own.get(fail=False) is None or service in KEYS
        for place in (f"{service}.dlq", f"{service}.retry.30s"):
            await publish(channel, {}, place, exchange=f"{service}.aside", user_id=service)
        if service in KEYS:
            await publish(channel, {}, KEYS[service], user_id=service)
    async with bus.channel(OPERATOR) as channel:
        for queue in [name for name in SERVICES for name in Queue(name, ()).queues]:
            while (message := await (await channel.get_queue(queue, ensure=False)).get(fail=False)) is not None:
                await message.ack()


@pytest.mark.parametrize(("thief", "victim"), OTHERS)
async def test_nobody_publishes_another_services_events(thief: str, victim: str, bus: Guarded) -> None:
    if victim in KEYS:
        async with bus.channel(thief) as channel:
            with pytest.raises(ChannelAccessRefused):
                await publish(channel, {}, KEYS[victim], user_id=thief)


@pytest.mark.parametrize(("thief", "victim"), OTHERS)
async def test_nobody_sends_under_another_name(thief: str, victim: str, bus: Guarded) -> None:
    """Not even in its own queues."""
    for name in (victim, OPERATOR):
        async with bus.channel(thief) as channel:
            with pytest.raises(ChannelPreconditionFailed):
                await publish(channel, {}, f"{thief}.dlq", exchange=f"{thief}.aside", user_id=name)


@pytest.mark.parametrize(("thief", "victim"), OTHERS)
async def test_nobody_reads_purges_or_deletes_anothers_queue(thief: str, victim: str, bus: Guarded) -> None:
    for name in (victim, f"{victim}.dlq", f"{thief}.dlq"):
        for attempt in (_get, _consume, _purge, _delete):
            async with bus.channel(thief) as channel:
                with pytest.raises(ChannelAccessRefused):
                    await attempt(channel, name)


async def _get(channel: AbstractChannel, queue: str) -> None:
    await (await channel.get_queue(queue, ensure=False)).get(fail=False)


async def _consume(channel: AbstractChannel, queue: str) -> None:
    async def take(message: AbstractIncomingMessage) -> None:
        await message.ack()

    await (await channel.get_queue(queue, ensure=False)).consume(take)


async def _purge(channel: AbstractChannel, queue: str) -> None:
    await (await channel.get_queue(queue, ensure=False)).purge()


async def _delete(channel: AbstractChannel, queue: str) -> None:
    await channel.queue_delete(queue)


@pytest.mark.parametrize(("thief", "victim"), OTHERS)
async def test_nobody_puts_a_message_into_anothers_queue(thief: str, victim: str, bus: Guarded) -> None:
    ways = [
        ("", victim),
        ("", f"{victim}.dlq"),
        ("", f"{victim}.retry.1s"),
        (DEAD_LETTER_EXCHANGE, victim),
        (f"{victim}.aside", f"{victim}.dlq"),
        (f"{victim}.aside", f"{victim}.retry.1s"),
    ]
    for exchange, key in ways:
        async with bus.channel(thief) as channel:
            with pytest.raises(ChannelAccessRefused):
                await publish(channel, {}, key, exchange=exchange, user_id=thief)


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_changes_the_map(service: str, bus: Guarded) -> None:
    async def bind(channel: AbstractChannel) -> None:
        await (await channel.get_queue(service, ensure=False)).bind(EXCHANGE, "#")

    async def bind_exchange(channel: AbstractChannel) -> None:
        await (await channel.get_exchange(f"{service}.aside", ensure=False)).bind(EXCHANGE, "#")

    acts: list[Callable[[AbstractChannel], Awaitable[Any]]] = [
        lambda channel: channel.declare_queue("mine", durable=True),
        lambda channel: channel.declare_queue(exclusive=True),
        lambda channel: channel.declare_queue(service, durable=True, arguments=Queue(service, ()).arguments),
        lambda channel: channel.declare_exchange("mine", ExchangeType.TOPIC),
        lambda channel: channel.queue_delete(service),
        lambda channel: channel.exchange_delete(EXCHANGE),
        lambda channel: channel.exchange_delete(f"{service}.aside"),
        bind,
        bind_exchange,
    ]
    for attempt in acts:
        async with bus.channel(service) as channel:
            with pytest.raises(ChannelAccessRefused):
                await attempt(channel)


@pytest.mark.parametrize("user", [*SERVICES, OPERATOR])
async def test_no_user_may_use_the_management_api(user: str, bus: Guarded) -> None:
    password = (bus.folder / user).read_text().strip()
    async with httpx.AsyncClient(base_url=broker_urls()[1], auth=(user, password), timeout=30) as client:
        assert (await client.get("/api/whoami")).status_code == 401


async def test_the_operators_user_declares_nothing_and_publishes_no_events(bus: Guarded) -> None:
    async with bus.channel(OPERATOR) as channel:
        with pytest.raises(ChannelAccessRefused):
            await channel.declare_queue("mine", durable=True)
    for key in KEYS.values():
        async with bus.channel(OPERATOR) as channel:
            with pytest.raises(ChannelAccessRefused):
                await publish(channel, {}, key, user_id=OPERATOR)


# What the reader refuses


@dataclass(frozen=True, slots=True)
class Fact:
    order_id: UUID


@dataclass
class Reader:
    """order-service's end of the wire, in production: what it was given, by the ids of the events."""

    taken: list[str] = field(default_factory=list)
    failing: list[Exception] = field(default_factory=list)
    """What the use case raises next."""

    async def take_in(self, consumer: str, events: Sequence[Received]) -> list[Received]:
        return list(events)

    async def commit(self) -> None:
        """There is nothing to commit."""

    async def use_case(self, events: Sequence[Received], unit: "Reader") -> None:
        if self.failing:
            raise self.failing.pop()
        self.taken += [str(event.id) for event in events]

    @asynccontextmanager
    async def unit(self) -> AsyncIterator["Reader"]:
        yield self


@pytest.fixture
async def reader(bus: Guarded, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reader]:
    monkeypatch.setattr(consumer_module, "RETRY_DELAYS_SECONDS", (1,))
    names = [path.name.partition(".")[0] for path in ROOT.glob("*/contracts/*.example.json")]
    reading = Reader()
    broker = Broker(bus.url(ORDER), Queue(ORDER, ()), verified=True)
    consumer = Consumer(
        broker,
        service=ORDER,
        decoder=Decoder(dict.fromkeys(names, Fact)),
        units=reading.unit,
        use_case=reading.use_case,
    )
    await broker.start()
    await eventually(lambda: broker.connected)
    yield reading
    await consumer.stop()
    await broker.stop()
    async with await aio_pika.connect(bus.administrator) as connection:
        queue = await (await connection.channel()).get_queue(f"{ORDER}.dlq", ensure=False)
        await queue.purge()


async def dead_letter(bus: Guarded) -> AbstractIncomingMessage:
    """Taken out."""
    found: list[AbstractIncomingMessage] = []

    async def there() -> bool:
        async with bus.channel(OPERATOR) as channel:
            message = await (await channel.get_queue(f"{ORDER}.dlq", ensure=False)).get(fail=False)
            if message is not None:
                await message.ack()
                found.append(message)
        return bool(found)

    await eventually(there)
    return found[0]


async def test_the_publishers_event_is_taken(bus: Guarded, reader: Reader) -> None:
    told = event("PaymentProcessed")
    async with bus.channel(PAYMENT) as channel:
        await publish(channel, told, "payment.processed", user_id=PAYMENT)
        await eventually(lambda: reader.taken == [told["id"]])


FORGERIES: dict[str, dict[str, Any]] = {
    "under its own key": {},
    "naming its source": {"source": INVENTORY},
    "without a name": {"user_id": None},
    "as if it were a retry": {"headers": {"x-routing-key": "payment.processed", "x-attempts": 1}},
    "with a second key": {"key": "inventory.nothing", "headers": {"CC": ["payment.processed"]}},
    "with a hidden key": {"key": "inventory.nothing", "headers": {"BCC": ["payment.processed"]}},
}


@pytest.mark.parametrize("how", FORGERIES)
async def test_inventory_completes_no_order(how: str, bus: Guarded, reader: Reader) -> None:
    """By saying that it was paid. RabbitMQ 3.10 checks no permission for a second key; later ones may."""
    properties = {"user_id": INVENTORY, "key": "inventory.released"} | FORGERIES[how]
    key = properties.pop("key")
    lie = event("PaymentProcessed", **({"source": properties.pop("source")} if "source" in properties else {}))
    async with bus.channel(INVENTORY) as channel:
        try:
            await publish(channel, lie, key, **properties)
        except ChannelAccessRefused:
            assert key == "inventory.nothing"
            return
        letter = await dead_letter(bus)
    assert (letter.headers["x-reason"], json.loads(letter.body)) == ("forged", lie)
    assert letter.headers["x-routing-key"] == key
    assert reader.taken == []


async def test_what_nobody_vouches_for_is_forged_though_all_else_is_right(bus: Guarded, reader: Reader) -> None:
    """As are messages of development."""
    told = event("PaymentProcessed")
    async with bus.channel(PAYMENT) as channel:
        await publish(channel, told, "payment.processed")
        letter = await dead_letter(bus)
    assert letter.headers["x-reason"] == "forged"
    assert letter.headers["x-error"] == "PaymentProcessed is published by payment-service, but nobody sent it"
    assert reader.taken == []


async def test_a_publishers_own_count_of_attempts_is_not_believed(bus: Guarded, reader: Reader) -> None:
    told = event("PaymentProcessed")
    reader.failing = [Rejected("unknown-order", "never heard of it")]
    async with bus.channel(PAYMENT) as channel:
        await publish(channel, told, "payment.processed", user_id=PAYMENT, headers={"x-attempts": 3})
        letter = await dead_letter(bus)
    assert (letter.headers["x-attempts"], letter.user_id) == (1, ORDER)


async def test_a_retry_comes_back_and_is_believed(bus: Guarded, reader: Reader) -> None:
    told = event("PaymentProcessed")
    reader.failing = [ValueError("a mistake that another attempt cures")]
    async with bus.channel(PAYMENT) as channel:
        await publish(channel, told, "payment.processed", user_id=PAYMENT)
        await eventually(lambda: reader.taken == [told["id"]])


async def redrive(bus: Guarded, wanted: str | None = None) -> int:
    return await act(bus.url(OPERATOR), "redrive", [ORDER], wanted=wanted, dry_run=False, verified=True)


async def lies_in_dead_letters(bus: Guarded) -> bool:
    async with bus.channel(OPERATOR) as channel:
        queue = await channel.declare_queue(f"{ORDER}.dlq", passive=True)
        return queue.declaration_result.message_count == 1


async def test_what_the_service_set_aside_is_redriven_and_believed(bus: Guarded, reader: Reader) -> None:
    told = event("PaymentProcessed")
    reader.failing = [Rejected("unknown-order", "never heard of it")]
    async with bus.channel(PAYMENT) as channel:
        await publish(channel, told, "payment.processed", user_id=PAYMENT)
    await eventually(lambda: lies_in_dead_letters(bus))
    assert await redrive(bus) == 1
    await eventually(lambda: reader.taken == [told["id"]])


@pytest.mark.parametrize(
    ("sender", "key", "believed"),
    [(PAYMENT, "payment.processed", True), (INVENTORY, "inventory.released", False)],
)
async def test_what_the_broker_set_aside_is_redriven_if_its_publisher_sent_it(
    sender: str, key: str, believed: bool, bus: Guarded, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or a forgery would come back under the operators' name. The service is down: the broker sets aside what was
    delivered too often."""
    told = event("PaymentProcessed")
    death = [{"reason": "delivery_limit", "queue": ORDER, "count": 1, "routing-keys": ["payment.processed"]}]
    headers = {"x-routing-key": "payment.processed", "x-death": death, "x-reason": "handler-error"}
    async with bus.channel(sender) as channel:
        await publish(channel, told, key, user_id=sender, headers=headers, message_id=told["id"])
    async with bus.channel(ORDER) as channel:
        queue = await channel.get_queue(ORDER, ensure=False)
        while (message := await queue.get(fail=False)) is not None:
            await message.reject(requeue=False)
    await eventually(lambda: lies_in_dead_letters(bus))

    if not believed:
        with pytest.raises(Refused, match="was put there by inventory-service, who publishes no such events"):
            await redrive(bus, told["id"])
    assert await redrive(bus) == believed
    assert await lies_in_dead_letters(bus) is not believed
    async with bus.channel(ORDER) as channel:
        again = await (await channel.get_queue(ORDER, ensure=False)).get(fail=False)
        assert (again is not None) is believed
        assert again is None or again.user_id == OPERATOR
        if again is not None:
            await again.ack()
    assert await act(bus.url(OPERATOR), "drop", [ORDER], wanted=None, dry_run=False, verified=True) != believed


# The step that furnishes the broker


async def test_whatever_the_broker_loses_comes_back(bus: Guarded) -> None:
    async with bus.watched(), httpx.AsyncClient(base_url=broker_urls()[1], timeout=30) as client:
        for path in (
            f"/api/queues/{bus.vhost}/{ORDER}.retry.30s",
            f"/api/exchanges/{bus.vhost}/{ORDER}.aside",
            f"/api/bindings/{bus.vhost}/e/{EXCHANGE}/q/{ORDER}/payment.processed",
            f"/api/users/{NOTIFICATION}",
            f"/api/permissions/{bus.vhost}/{ORDER}",
            f"/api/topic-permissions/{bus.vhost}/{ORDER}",
        ):
            (await client.delete(path)).raise_for_status()

            async def is_back(path: str = path) -> bool:
                answer = await client.get(path)
                return answer.status_code == 200 and answer.json() != []

            await eventually(is_back, seconds=60)


async def test_a_broker_that_lost_everything_is_furnished_again(bus: Guarded) -> None:
    async with bus.watched(), httpx.AsyncClient(base_url=broker_urls()[1], timeout=30) as client:
        for name in SERVICES:
            for kind, what in [("queues", queue) for queue in Queue(name, ()).queues] + [
                ("exchanges", f"{name}.aside")
            ]:
                await client.delete(f"/api/{kind}/{bus.vhost}/{what}")
            await client.delete(f"/api/users/{name}")
        await client.delete(f"/api/exchanges/{bus.vhost}/{EXCHANGE}")
        await client.delete(f"/api/exchanges/{bus.vhost}/{DEAD_LETTER_EXCHANGE}")

        async def all_work() -> bool:
            try:
                for name in SERVICES:
                    async with bus.channel(name) as channel:
                        await assert_topology(channel, Queue(name, ()), passive=True)
                async with bus.channel(PAYMENT) as channel:
                    await publish(channel, event("PaymentProcessed"), "payment.processed", user_id=PAYMENT)
            except (OSError, AMQPError):
                return False
            return True

        await eventually(all_work, seconds=60)
    for name in (NOTIFICATION, INVENTORY):
        async with bus.channel(name) as channel:
            with pytest.raises(ChannelAccessRefused):
                await publish(channel, {}, "payment.processed", user_id=name)
    async with bus.channel(OPERATOR) as channel:
        for name in (ORDER, NOTIFICATION):
            message = await (await channel.get_queue(name, ensure=False)).get(no_ack=True)
            assert message is not None


async def test_a_password_is_changed_while_the_service_is_connected(bus: Guarded) -> None:
    old = (bus.folder / ORDER).read_text().strip()
    async with bus.watched(), bus.channel(ORDER) as connected:
        bus.set_password(ORDER)

        async def accepted() -> bool:
            try:
                async with bus.channel(ORDER):
                    return True
            except (OSError, AMQPError):
                return False

        await eventually(accepted, seconds=60)
        await assert_topology(connected, Queue(ORDER, ()), passive=True)
    with pytest.raises((OSError, AMQPError)):
        await aio_pika.connect(bus.url(ORDER, old))


async def test_a_broker_of_development_must_be_empty_and_loses_its_tap(rabbitmq_url: str, tmp_path: Path) -> None:
    async with guarded(tmp_path) as broker:
        assert (await broker.load("development")).returncode == 0
        async with await aio_pika.connect(broker.administrator) as connection:
            channel = await connection.channel()
            await publish(channel, event("OrderCreated"), "order.created")

            async def refused() -> bool:
                done = await broker.load()
                assert "inventory-service (1)" in done.stderr or not done.returncode
                return bool(done.returncode)

            async with httpx.AsyncClient(base_url=broker_urls()[1], timeout=30) as client:

                async def counted() -> bool:
                    queue = (await client.get(f"/api/queues/{broker.vhost}/{INVENTORY}")).json()
                    return bool(queue.get("messages") == 1)

                await eventually(counted, seconds=30)
            assert await refused()
            await channel.get_queue("order_events.tap", ensure=True)
            await (await channel.get_queue(INVENTORY, ensure=False)).purge()

            async def taken() -> bool:
                return not await refused()

            await eventually(taken, seconds=60)
            with pytest.raises(ChannelNotFoundEntity):
                await channel.get_queue("order_events.tap", ensure=True)


async def test_a_secret_that_is_missing_is_named(bus: Guarded) -> None:
    (bus.folder / INVENTORY).rename(bus.folder / "gone")
    try:
        done = await bus.load()
    finally:
        (bus.folder / "gone").rename(bus.folder / INVENTORY)
    assert done.returncode == 1
    assert done.stderr.startswith("INVENTORY_SERVICE_RABBITMQ_PASSWORD_FILE names a file that can't be read: ")
