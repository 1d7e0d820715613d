"""What a service's own broker credentials can be used for, by whoever has got hold of them: for its own part, and for
nothing else. On the real broker, furnished as in production."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed
from chassis.messaging.origin import OPERATOR
from chassis.messaging.topology import DEAD_LETTER_EXCHANGE, EXCHANGE, Queue, assert_topology
from chassis.testing import broker_urls

from attacks.production import INVENTORY, ORDER, PAYMENT, Guarded, publish
from operations.addresses import SERVICES

KEYS = {ORDER: "order.created", INVENTORY: "inventory.reserved", PAYMENT: "payment.processed"}
"""One that each publisher may use."""
OTHERS = [(thief, victim) for thief in SERVICES for victim in SERVICES if thief != victim]


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
        lambda channel: channel.declare_queue(service, durable=True, arguments=Queue(service, ()).queues[service]),
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
