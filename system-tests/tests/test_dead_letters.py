"""What was set aside, as a person handles it: by the command line, on the whole system."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import aio_pika
import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage
from chassis.messaging.topology import DEAD_LETTER_EXCHANGE, DELIVERY_LIMIT
from chassis.testing import eventually

import way
from bus import Bus, events_in
from operations import books
from operations.addresses import SERVICES
from operations.load import settled_books
from operations.shop import DECLINED_CUSTOMER, Line
from shop import Shop
from system import System

PARTNERS = ("inventory-service", "payment-service", "notification-service")


@pytest.fixture(autouse=True)
async def all_well(system: System, channel: Bus) -> AsyncIterator[None]:
    """Each test finds no dead letters, and leaves none and no service down. Nobody is reminded of the orders of earlier
    tests meanwhile: a decision said again would be among the messages that a test counts."""
    for service in SERVICES:
        await channel.take(f"{service}.dlq")
    await sql(system, "UPDATE orders.orders SET remind_at = NULL WHERE status IN ('cancelled', 'failed')")
    yield
    for service in SERVICES:
        if not system.services[service].running:
            system.start(service)
    await system.healthy()
    for service in SERVICES:
        await channel.take(f"{service}.dlq")


async def dead_letters(system: System, *arguments: str) -> str:
    """What `make dead-letters` prints."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "operations", "dead-letters", *arguments],
        env=os.environ | {"RABBITMQ_URL": way.operators(system.rabbitmq_url)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def set_aside(
    channel: Bus, service: str, *types: str, deliveries: int = 1, number: int = 1
) -> list[AbstractIncomingMessage]:
    """Lets the broker dead-letter the messages in the queue of a service that is down, as if it could never take them
    in; of these types of events only, if any is named. Returns them as they are in the dead letters."""

    async def arrived() -> bool:
        return (await channel.state(service))[0] >= number

    await eventually(arrived)
    queue = await channel.channel.get_queue(service, ensure=False)
    for _ in range(deliveries):
        kept = []
        while (message := await queue.get(fail=False)) is not None:
            if types and events_in(message)[0]["type"] not in types:
                kept.append(message)
            else:
                await message.reject(requeue=deliveries > 1)
                if deliveries > 1:
                    break
        for message in kept:
            await message.reject(requeue=True)

    async def there() -> bool:
        return (await channel.state(f"{service}.dlq"))[0] > 0

    await eventually(there)
    letters = await channel.take(f"{service}.dlq")
    await put_back(channel, service, letters)
    return letters


async def put_back(channel: Bus, service: str, letters: Sequence[AbstractIncomingMessage]) -> None:
    """Among the dead letters, as they were."""
    exchange = await channel.channel.get_exchange(DEAD_LETTER_EXCHANGE, ensure=False)
    for letter in letters:
        copy = aio_pika.Message(
            letter.body,
            content_type=letter.content_type,
            message_id=letter.message_id,
            timestamp=letter.timestamp,
            headers=letter.headers,
            user_id=letter.user_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await exchange.publish(copy, service)


async def taken(client: httpx.AsyncClient, system: System, service: str) -> dict[str, float]:
    """How many events the service has taken in, and how many of them it knew already."""
    shop = Shop(system, client)
    names = ("events_consumed_total", "events_duplicate_total", "events_unchanged_total")
    return {name: await shop.metric(service, name) for name in names}


async def confirmed_without_payment(system: System, shop: Shop, customer: UUID | None = None) -> tuple[UUID, str]:
    """A product of which 3 of 10 are held for an order whose payment has not begun: payment-service is down."""
    await system.stop("payment-service")
    product = await shop.stock(10)
    order_id = (await shop.place(Line(product, 3), customer=customer))["id"]

    async def confirmed() -> bool:
        return bool((await shop.order(order_id))["status"] == "confirmed")

    await eventually(confirmed)
    return product, order_id


async def sql(system: System, statement: str, order_id: str | None = None) -> None:
    """For one order, whose row there must be, or for all."""
    connection = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
    try:
        done = await connection.execute(statement, *([UUID(order_id)] if order_id else []))
        assert order_id is None or done == "UPDATE 1"
    finally:
        await connection.close()


async def state_of(system: System, order_id: str) -> tuple[str, str]:
    """What inventory and payment have for the order."""
    standing = await books.read(system.database_url)
    reservation, payment = standing.reservations.get(UUID(order_id)), standing.payments.get(UUID(order_id))
    return reservation["status"] if reservation else "absent", payment["status"] if payment else "absent"


async def test_redriving_everything_twice_harms_nothing(
    shop: Shop, system: System, channel: Bus, client: httpx.AsyncClient
) -> None:
    """Five orders, of which every event but the last ones was set aside on its first way."""
    product = await shop.stock(10)
    letters: dict[str, list[AbstractIncomingMessage]] = {}

    # All that the order service said, set aside by all who read it; then all that these said.
    await system.stop(*PARTNERS)
    ends = {}
    for quantity, customer, end in (
        (3, None, "completed"),
        (11, None, "failed"),
        (2, DECLINED_CUSTOMER, "failed"),
        (2, None, "cancelled"),
        (3, None, "completed"),
    ):
        order_id = (await shop.place(Line(product, quantity), customer=customer))["id"]
        ends[order_id] = end
        if end == "cancelled":
            assert (await shop.cancel(order_id)).status_code == 200
    for service in PARTNERS:
        letters[service] = await set_aside(channel, service)
    await system.stop("order-service")
    system.start("inventory-service")
    await system.healthy("inventory-service")
    sent = await dead_letters(system, "redrive", "inventory-service", "--all")
    assert sent.endswith(f"{len(letters['inventory-service'])} sent back\n")

    async def all_held() -> bool:
        standing = await books.read(system.database_url)
        held = [standing.reservations.get(UUID(order_id)) for order_id in ends]
        return all(held) and not any(standing.outboxes.values())

    await eventually(all_held)
    for service in ("order-service", "payment-service"):
        await channel.take(f"{service}.dlq")
        first = letters.get(service, [])
        letters[service] = first + await set_aside(channel, service)
        await put_back(channel, service, first)
    kinds = {event["type"] for found in letters.values() for letter in found for event in events_in(letter)}
    assert kinds >= {"OrderCreated", "OrderCancelled", "InventoryReserved", "InventoryUnavailable"}

    system.start("order-service", "payment-service", "notification-service")
    await system.healthy()
    await dead_letters(system, "redrive", "--all")
    for order_id, end in ends.items():
        assert (await shop.ended(order_id))["status"] == end
    assert await settled_books(system.database_url, {product: 10}, within_seconds=20) == []

    # The same letters once more: each queue's own, and no other service hears of them.
    timelines = [await shop.timeline(order_id) for order_id in ends]
    payments = [await shop.payment(order_id) for order_id in ends]
    for service in SERVICES:
        before = {name: await taken(client, system, name) for name in SERVICES}
        await put_back(channel, service, letters[service])
        said = await dead_letters(system, "redrive", service, "--all")
        assert said.endswith(f"{len(letters[service])} sent back\n")
        again = sum(len(events_in(letter)) for letter in letters[service])

        async def taken_in(
            service: str = service, again: int = again, before: dict[str, dict[str, float]] = before
        ) -> bool:
            number = (await taken(client, system, service))["events_duplicate_total"]
            return number == before[service]["events_duplicate_total"] + again

        await eventually(taken_in)
        expected = before[service]["events_duplicate_total"] + again
        assert {name: await taken(client, system, name) for name in SERVICES} == before | {
            service: before[service] | {"events_duplicate_total": expected}
        }
    assert [await shop.timeline(order_id) for order_id in ends] == timelines
    assert [await shop.payment(order_id) for order_id in ends] == payments
    assert await settled_books(system.database_url, {product: 10}, within_seconds=20) == []
    assert (await dead_letters(system, "list")).endswith("0 found\n")


@pytest.mark.parametrize(("customer", "status"), [(None, "cancelled"), (DECLINED_CUSTOMER, "failed")])
async def test_a_decision_that_inventory_lost_is_said_again_to_the_reservation_that_asks_again(
    customer: UUID | None, status: str, shop: Shop, system: System, channel: Bus
) -> None:
    product, order_id = await confirmed_without_payment(system, shop, customer)
    await system.stop("inventory-service")
    if status == "cancelled":  # the payment, too, begins and ends with the decision, so that it reports nothing
        await shop.cancel(order_id)
        await set_aside(channel, "payment-service", "InventoryReserved", number=2)
    system.start("payment-service")
    assert (await shop.ended(order_id, within_seconds=30))["status"] == status
    await set_aside(channel, "inventory-service")
    assert (await dead_letters(system, "drop", "inventory-service", "--all")).endswith("1 dropped\n")
    system.start("inventory-service")
    await system.healthy()
    assert await shop.stock_of(product) == (7, 3)
    assert f"Order {order_id} is {status}, but its reservation is held." in await books.audit(system.database_url)

    # A minute has passed since the reservation was made.
    await sql(system, "UPDATE inventory.reservations SET remind_at = now() WHERE order_id = $1", order_id)

    assert await settled_books(system.database_url, {product: 10}, within_seconds=20) == []
    assert await shop.stock_of(product) == (10, 0)
    assert [line["event"] for line in await shop.timeline(order_id)][-1] == "InventoryReleased"


@pytest.mark.parametrize("status", ["cancelled", "failed"])
async def test_a_decision_that_payment_lost_is_said_again_when_it_reports_the_charge(
    status: str, shop: Shop, system: System, channel: Bus
) -> None:
    product, order_id = await confirmed_without_payment(system, shop)
    if status == "cancelled":
        await shop.cancel(order_id)
    else:
        await sql(system, "UPDATE orders.orders SET due_at = now(), expires_at = now() WHERE id = $1", order_id)
    assert (await shop.ended(order_id))["status"] == status
    await set_aside(channel, "payment-service", "OrderCancelled", "OrderFailed", number=2)
    assert (await dead_letters(system, "drop", "payment-service", "--all")).endswith("1 dropped\n")

    system.start("payment-service")
    await system.healthy()

    assert await settled_books(system.database_url, {product: 10}, within_seconds=20) == []
    assert await state_of(system, order_id) == ("released", "refunded")
    assert {line["event"] for line in await shop.timeline(order_id)} >= {"InventoryReleased", "PaymentRefunded"}


async def test_what_the_broker_set_aside_and_what_nobody_can_read_are_shown_sent_back_and_dropped(
    shop: Shop, system: System, channel: Bus
) -> None:
    product = await shop.stock(10)
    await system.stop("inventory-service")
    order_id = (await shop.place(Line(product, 3)))["id"]
    (killer,) = await set_aside(channel, "inventory-service", deliveries=DELIVERY_LIMIT + 1)
    system.start("inventory-service")
    await system.healthy()
    await channel.send(b"\x00 nobody reads this", routing_key="payment-service", exchange="")

    async def both() -> bool:
        numbers = [await shop.metric(service, "dead_letters") for service in SERVICES]
        return numbers == [0, 1, 1, 0]

    await eventually(both)
    listed = await dead_letters(system, "list")
    assert "2 found" in listed
    assert re.search(rf"^inventory-service  {killer.message_id}  .*broker: delivery_limit .*{order_id}$", listed, re.M)
    assert re.search(r"^payment-service  .*  not-json  attempts 1  \d+ bytes$", listed, re.M)
    shown = await dead_letters(system, "show", "--id", str(killer.message_id))
    assert "1 found" in shown
    assert json.loads(shown.splitlines()[-2])["subject"] == order_id
    assert "\\x00 nobody reads this" in await dead_letters(system, "show", "payment-service")

    for command, said in (("redrive", "sent back"), ("drop", "dropped")):
        assert f"2 would be {said}" in await dead_letters(system, command, "--all", "--dry-run")
    await eventually(both)

    one = ("inventory-service", "--id", str(killer.message_id))
    assert (await dead_letters(system, "redrive", *one)).endswith("1 sent back\n")
    assert (await shop.ended(order_id))["status"] == "completed"
    assert (await dead_letters(system, "drop", "--all")).endswith("1 dropped\n")
    assert await settled_books(system.database_url, {product: 10}, within_seconds=20) == []

    async def none() -> bool:
        return sum([await shop.metric(service, "dead_letters") for service in SERVICES]) == 0

    await eventually(none)
