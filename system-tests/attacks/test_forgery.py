"""What reaches a service's queue in production without being what it says: the service sets it aside as forged, and
nobody sends it back. On the real broker."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import ChannelAccessRefused
from chassis.messaging import consumer as consumer_module
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import Consumer
from chassis.messaging.envelope import Decoder
from chassis.messaging.origin import OPERATOR
from chassis.messaging.topology import Queue
from chassis.ports.errors import Rejected
from chassis.ports.events import Received
from chassis.testing import eventually

from attacks.production import INVENTORY, ORDER, PAYMENT, Guarded, event, publish
from operations.addresses import Refused
from operations.dead_letters import act
from system import ROOT


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
    broker = Broker(lambda: bus.url(ORDER), Queue(ORDER, ()), verified=True)
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
