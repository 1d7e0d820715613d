"""Messages that no service can take in: they go to the dead letters with the reason, harm no other message, and the
service goes on."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from aio_pika.abc import AbstractIncomingMessage
from chassis.messaging.envelope import BATCH, SINGLE
from chassis.testing import eventually

from bus import Bus, Event, Listener, Management
from chaos.poison import REFUSED_FROM_STRANGERS, read_by
from operations.addresses import SERVICES
from operations.shop import Line
from shop import Shop
from system import System


@dataclass(frozen=True)
class Poison:
    body: bytes
    reason: str
    content_type: str | None = SINGLE


def unknown(event: Event) -> Event:
    """The event, about an order that nobody knows."""
    order_id = str(uuid4())
    return event | {"id": str(uuid4()), "subject": order_id, "data": event["data"] | {"order_id": order_id}}


def poisons(service: str) -> list[Poison]:
    event = unknown(read_by(service))
    data: dict[str, Any] = event["data"]

    def changed(**fields: object) -> bytes:
        return json.dumps(event | fields).encode()

    def without(field: str) -> bytes:
        return json.dumps({key: value for key, value in event.items() if key != field}).encode()

    return [
        Poison(b'{"specversion": "1.0", ', "not-json"),
        Poison(b"", "not-json"),
        Poison(b"\xff\xfe\x00", "not-json"),
        Poison(b"[" * 50_000, "not-json"),
        Poison(changed(data=data | {"order_id": "\ud800"}), "not-json"),
        Poison(b'"an order"', "not-cloudevents"),
        Poison(changed(specversion="0.3"), "not-cloudevents"),
        Poison(without("id"), "not-cloudevents"),
        Poison(changed(id=17), "not-cloudevents"),
        Poison(changed(id="not a UUID"), "not-cloudevents"),
        Poison(without("subject"), "not-cloudevents"),
        Poison(changed(type="OrderEaten"), "unknown-type"),
        Poison(changed(type="x" * 100_000), "unknown-type"),
        Poison(without("data"), "invalid-data"),
        Poison(changed(data=[]), "invalid-data"),
        Poison(changed(data={}), "invalid-data"),
        Poison(changed(data=data | {"order_id": "17"}), "invalid-data"),
        Poison(b"[]", "empty-batch", BATCH),
        Poison(json.dumps(event).encode(), "not-cloudevents", BATCH),
        Poison(json.dumps(event).encode(), "unsupported-content-type", "text/plain"),
        Poison(json.dumps(event).encode(), "unsupported-content-type", None),
        Poison(changed(extra="x" * 600 * 1024), "too-large"),
    ]


async def dead_letters(channel: Bus, service: str, number: int) -> list[AbstractIncomingMessage]:
    """The dead letters of the service, once there are as many as expected."""

    async def arrived() -> bool:
        return (await channel.state(f"{service}.dlq"))[0] >= number

    await eventually(arrived)
    return await channel.take(f"{service}.dlq")


async def order_goes_through(shop: Shop) -> None:
    order = await shop.place(Line(await shop.stock(1)))
    assert (await shop.ended(order["id"]))["status"] == "completed"
    await eventually_told(shop, order, "Order completed")


async def eventually_told(shop: Shop, order: dict[str, Any], subject: str) -> None:
    async def told() -> bool:
        return subject in await shop.told(order)

    await eventually(told)


@pytest.mark.parametrize("service", SERVICES)
async def test_what_can_not_be_read_goes_to_the_dead_letters_with_its_reason(
    service: str, channel: Bus, shop: Shop
) -> None:
    sent = poisons(service)
    await channel.take(f"{service}.dlq")

    for poison in sent:
        await channel.send(poison.body, poison.content_type, routing_key=service, exchange="")

    found = await dead_letters(channel, service, len(sent))
    assert [message.headers["x-reason"] for message in found] == [poison.reason for poison in sent]
    for message, poison in zip(found, sent, strict=True):
        assert message.content_type == poison.content_type
        assert message.headers["x-service"] == service
        assert message.headers["x-attempts"] == 1
        assert message.headers["x-error"]
        assert message.headers["x-routing-key"] == service  # it came under the queue's own name
    await order_goes_through(shop)


@pytest.mark.parametrize(
    ("service", "event_type"),
    [
        ("inventory-service", "OrderCreated"),
        ("payment-service", "InventoryReserved"),
        ("notification-service", "OrderCompleted"),
    ],
)
async def test_one_bad_event_harms_none_of_its_batch(
    service: str,
    event_type: str,
    channel: Bus,
    shop: Shop,
    listener: Listener,
    management: Management,
) -> None:
    """The good ones are those of real orders, kept from the service until a bad one is put between them."""
    product = await shop.stock(2)
    await channel.take(f"{service}.dlq")
    kept_away = await management.unbind(service)
    try:
        orders = [await shop.place(Line(product)) for _ in range(2)]

        def events() -> list[Event]:
            return [e for order in orders for e in listener.events_of(order["id"]) if e["type"] == event_type]

        await eventually(lambda: len(events()) == 2)
    finally:
        await management.bind(service, kept_away)
    bad = unknown(read_by(service)) | {"data": {"order_id": "17"}, "type": event_type}

    await channel.send_events([events()[0], bad, events()[1]], routing_key=service, exchange="")

    (letter,) = await dead_letters(channel, service, 1)
    assert letter.headers["x-reason"] == "invalid-data"
    assert json.loads(letter.body) == bad
    for order in orders:
        assert (await shop.ended(order["id"]))["status"] == "completed"
        await eventually_told(shop, order, "Order completed")


async def test_a_bad_event_of_a_batch_is_set_aside_as_an_event_alone(channel: Bus) -> None:
    """Redriven, it is read by itself."""
    service = "notification-service"
    bad = unknown(read_by(service)) | {"data": {}}
    await channel.take(f"{service}.dlq")

    await channel.send_events([bad, bad], routing_key=service, exchange="")

    letters = await dead_letters(channel, service, 2)
    assert [json.loads(letter.body) for letter in letters] == [bad, bad]
    assert [letter.content_type for letter in letters] == [SINGLE, SINGLE]


async def test_a_message_without_an_id_of_its_own_is_taken_in(channel: Bus, shop: Shop, listener: Listener) -> None:
    """An event's identity is its own id, never the message's."""
    order = await shop.place(Line(await shop.stock(1)))
    await shop.ended(order["id"])
    await eventually_told(shop, order, "Order completed")
    await eventually(lambda: listener.events_of(order["id"]) != [])
    said_again = listener.events_of(order["id"])[0] | {"id": str(uuid4()), "type": "OrderConfirmed"}

    await channel.send(json.dumps(said_again).encode(), routing_key="order.confirmed", message_id=None)

    async def told_twice() -> bool:
        return (await shop.told(order)).count("Order confirmed") == 2

    await eventually(told_twice)


@pytest.mark.parametrize("service", REFUSED_FROM_STRANGERS)
async def test_a_fact_about_an_order_that_is_not_known_goes_to_the_dead_letters(
    service: str, channel: Bus, shop: Shop
) -> None:
    event = unknown(read_by(service))
    await channel.take(f"{service}.dlq")

    await channel.send_events([event], routing_key=service, exchange="")

    (letter,) = await dead_letters(channel, service, 1)
    assert letter.headers["x-reason"] == "unknown-order"
    assert json.loads(letter.body) == event
    await order_goes_through(shop)


async def test_after_all_of_this_every_service_is_well(system: System, channel: Bus) -> None:
    await system.healthy()
    for service in SERVICES:
        assert await channel.state(service) == (0, 1)
