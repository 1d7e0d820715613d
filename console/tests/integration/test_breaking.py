"""What breaks on purpose: the services' own routes, and messages on a real RabbitMQ."""

import asyncio
import json
from collections.abc import AsyncIterator

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel
from chassis.messaging.topology import Queue, assert_topology
from chassis.ports.errors import Unavailable
from chassis.testing import make_vhost

from application.ports import Refused
from infrastructure.breaking import Breaker
from tests.seen import Pretended, document

URLS = {
    "inventory-service": ["http://127.0.0.1:1"],
    "payment-service": ["http://127.0.0.1:2", "http://127.0.0.1:3"],
}


@pytest.fixture
async def vhost(rabbitmq_url: str) -> AsyncIterator[str]:
    url, _, remove = await asyncio.to_thread(make_vhost)
    yield url
    await asyncio.to_thread(remove)


@pytest.fixture
async def channel(vhost: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(vhost) as connection:
        found = await connection.channel()
        await assert_topology(found, Queue("inventory-service", ["OrderCreated"]))
        yield found


@pytest.fixture
def pretended() -> Pretended:
    return Pretended()


@pytest.fixture
def breaker(pretended: Pretended, vhost: str) -> Breaker:
    return Breaker(URLS, pretended.client(), lambda: vhost)


async def taken(channel: AbstractChannel, queue: str = "inventory-service") -> list[bytes]:
    found = []
    place = await channel.get_queue(queue)
    while message := await place.get(no_ack=True, fail=False):
        found.append(message.body)
    return found


async def test_one_replica_is_killed_the_one_that_is_named_or_the_first(pretended: Pretended, breaker: Breaker) -> None:
    pretended.answers["POST /development/kill"] = httpx.Response(202)
    await breaker.kill("payment-service", "127.0.0.1:3")
    await breaker.kill("payment-service", None)
    with pytest.raises(Refused):
        await breaker.kill("payment-service", "elsewhere.example:80")
    assert len(pretended.asked) == 2


async def test_all_replicas_are_cut_off_and_all_gateways_answer_alike(pretended: Pretended, breaker: Breaker) -> None:
    bodies = []

    def note(request: httpx.Request) -> httpx.Response:
        bodies.append((request.url.port, request.url.path, json.loads(request.content)))
        return httpx.Response(202)

    pretended.answers |= {"POST /development/disconnect": note, "POST /development/gateway": note}
    await breaker.disconnect("payment-service")
    await breaker.gateway("silent")
    assert bodies == [
        (2, "/development/disconnect", {}),
        (3, "/development/disconnect", {}),
        (2, "/development/gateway", {"answers": "silent"}),
        (3, "/development/gateway", {"answers": "silent"}),
    ]


async def test_who_does_not_answer_or_does_not_do_it_is_named(pretended: Pretended, breaker: Breaker) -> None:
    with pytest.raises(Refused) as refused:
        await breaker.disconnect("payment-service")
    assert "127.0.0.1:2" in refused.value.detail
    pretended.away = {"127.0.0.1"}
    with pytest.raises(Unavailable, match="does not answer"):
        await breaker.kill("payment-service", None)


async def test_poison_reaches_whoever_reads_new_orders(breaker: Breaker, channel: AbstractChannel) -> None:
    assert await breaker.poison() == 1
    assert await taken(channel) == [b"this is no JSON"]


async def test_events_come_again_as_they_were(breaker: Breaker, channel: AbstractChannel) -> None:
    events = [document("OrderCreated"), document("OrderCreated")]
    assert await breaker.again(events) == 2
    assert [json.loads(body) for body in await taken(channel)] == events


async def test_a_queue_is_emptied(breaker: Breaker, channel: AbstractChannel) -> None:
    await breaker.again([document("OrderCreated")] * 3)
    assert await breaker.wipe("inventory-service") == 3
    assert await taken(channel) == []


async def test_a_queue_that_is_not_there_is_told(breaker: Breaker) -> None:
    with pytest.raises(Unavailable):
        await breaker.wipe("order-service")
