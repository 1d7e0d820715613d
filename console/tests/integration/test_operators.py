"""The operators' tool as functions, on a real PostgreSQL and a real RabbitMQ."""

import asyncio
import traceback
from collections.abc import Iterator

import aio_pika
import pytest
from chassis.messaging.topology import Queue, assert_topology
from chassis.ports.errors import Unavailable
from chassis.testing import make_database, make_vhost

from application.events import LANES
from application.ports import Refused
from infrastructure.operators import OperatorsTool
from tests.unit.test_api import FOLDER

SERVICES_WITH_TABLES = [FOLDER.parent / name for name in ("order-service", "inventory-service", "payment-service")]
NOWHERE = "amqp://a:b@localhost:1/"


@pytest.fixture(scope="module")
def books_url(database_url: str) -> Iterator[str]:
    url, drop = make_database(*SERVICES_WITH_TABLES)
    yield url
    drop()


@pytest.fixture
async def broker(rabbitmq_url: str) -> str:
    """With the queues of all services, and three dead letters of one."""
    url, _, _ = await asyncio.to_thread(make_vhost)
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for lane in LANES:
            await assert_topology(channel, Queue(lane, ()))
        for number, reason in enumerate(("unknown-type", "not-json", "forged")):
            letter = aio_pika.Message(
                b'{"type": "OrderCreated", "subject": "an order"}',
                message_id=f"letter-{number}",
                headers={"x-reason": reason, "x-routing-key": "order.created"},
            )
            await channel.default_exchange.publish(letter, "inventory-service.dlq")
    return url


def tool(
    database_url: str = "postgresql://a:b@localhost:1/c", rabbitmq_url: str = NOWHERE, *, verified: bool = False
) -> OperatorsTool:
    return OperatorsTool(lambda: database_url, lambda: rabbitmq_url, verified=verified)


async def test_the_books_are_read_as_they_stand(books_url: str) -> None:
    books = await tool(books_url).books()
    assert (books["agree"], books["orders"], books["findings"], books["more"]) == (True, 0, [], 0)
    assert await tool(books_url).counts() == {}


async def test_a_database_that_is_away_is_said_to_be() -> None:
    with pytest.raises(Unavailable, match="the database does not answer"):
        await tool().books()
    with pytest.raises(Unavailable):
        await tool().counts()


async def test_dead_letters_are_read_and_stay(broker: str) -> None:
    for _ in range(2):
        letters = await tool(rabbitmq_url=broker).dead_letters()
        assert [(letter["id"], letter["service"], letter["reason"], letter["forged"]) for letter in letters] == [
            ("letter-0", "inventory-service", "unknown-type", False),
            ("letter-1", "inventory-service", "not-json", False),
            ("letter-2", "inventory-service", "forged", True),
        ]
        assert letters[0]["events"] == [{"name": "OrderCreated", "order_id": "an order"}]
        assert '"an order"' in letters[0]["text"]


async def test_one_letter_is_sent_back_or_dropped_and_a_forged_one_only_dropped(broker: str) -> None:
    operators = tool(rabbitmq_url=broker)
    assert await operators.settle("redrive", ["inventory-service"], "letter-0") == 1
    with pytest.raises(Refused):
        await operators.settle("redrive", ["inventory-service"], "letter-2")
    assert await operators.settle("drop", ["inventory-service"], "letter-2") == 1
    assert [letter["id"] for letter in await operators.dead_letters()] == ["letter-1"]


async def test_where_the_broker_vouches_for_senders_a_stranger_s_letter_is_not_sent_back(broker: str) -> None:
    assert {letter["forged"] for letter in await tool(rabbitmq_url=broker, verified=True).dead_letters()} == {True}
    with pytest.raises(Refused, match="was put there by nobody known"):
        await tool(rabbitmq_url=broker, verified=True).settle("redrive", ["inventory-service"], "letter-1")


async def test_all_letters_are_sent_back_at_once(broker: str) -> None:
    operators = tool(rabbitmq_url=broker)
    assert await operators.settle("redrive", LANES, None) == 2
    assert [letter["id"] for letter in await operators.dead_letters()] == ["letter-2"]


async def test_two_who_look_at_once_both_see_all(broker: str) -> None:
    operators = tool(rabbitmq_url=broker)
    found = await asyncio.gather(*(operators.dead_letters() for _ in range(4)))
    assert {len(letters) for letters in found} == {3}


async def test_a_broker_that_is_away_is_said_to_be() -> None:
    with pytest.raises(Unavailable, match="the broker does not answer") as raised:
        await tool().dead_letters()
    assert raised.value.__cause__ is not None
    traceback.clear_frames(raised.value.__cause__.__traceback__)  # they hold the connection that was never made
