"""The dead letters as a person handles them, on a real broker."""

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.broker import Broker
from chassis.dead_letters import act
from chassis.events import SINGLE
from chassis.testing import eventually
from chassis.topology import DEAD_LETTER_EXCHANGE
from tests.note_service import SERVICE


@pytest.fixture
async def letters(broker: Broker, channel: AbstractChannel) -> None:
    """Two dead letters of ours, and one that the broker itself might have set aside."""
    await broker.start()
    await eventually(lambda: broker.connected)
    for number in (1, 2):
        await broker.publish(
            SERVICE,
            b'{"type": "Happened", "subject": "order-%d"}' % number,
            SINGLE,
            exchange=DEAD_LETTER_EXCHANGE,
            headers={"x-reason": "unknown-order", "x-attempts": 1, "x-routing-key": "thing.happened"},
        )
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    await exchange.publish(Message(b"\xff", headers={"x-death": [{"reason": "delivery_limit"}]}), SERVICE)


async def in_queue(channel: AbstractChannel, name: str) -> int:
    queue = await channel.declare_queue(name, passive=True)
    return queue.declaration_result.message_count or 0


async def all_of(channel: AbstractChannel, name: str) -> list[AbstractIncomingMessage]:
    queue = await channel.get_queue(name)
    found = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        found.append(message)
    return found


@pytest.mark.parametrize("command", ["list", "show"])
async def test_looking_changes_nothing(
    letters: None, channel: AbstractChannel, rabbitmq_url: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await act(rabbitmq_url, command, [SERVICE], wanted=None, dry_run=False) == 3
    printed = capsys.readouterr().out
    assert "unknown-order  attempts 1  Happened of order-1" in printed
    assert "broker: delivery_limit" in printed
    await eventually(lambda: _counts(channel, dead=3, own=0))


@pytest.mark.parametrize("command", ["redrive", "drop"])
async def test_a_dry_run_changes_nothing(
    letters: None, channel: AbstractChannel, rabbitmq_url: str, command: str
) -> None:
    assert await act(rabbitmq_url, command, [SERVICE], wanted=None, dry_run=True) == 3
    await eventually(lambda: _counts(channel, dead=3, own=0))


async def test_redriving_all_sends_them_to_their_own_queue_as_they_were(
    letters: None, channel: AbstractChannel, rabbitmq_url: str
) -> None:
    assert await act(rabbitmq_url, "redrive", [SERVICE], wanted=None, dry_run=False) == 3
    await eventually(lambda: _counts(channel, dead=0, own=3))
    first = (await all_of(channel, SERVICE))[0]
    assert first.body == b'{"type": "Happened", "subject": "order-1"}'
    assert first.content_type == SINGLE
    assert first.headers["x-routing-key"] == "thing.happened"
    assert "x-attempts" not in first.headers, "they are counted anew"


async def test_one_letter_is_redriven_or_dropped_by_its_id(
    letters: None, channel: AbstractChannel, rabbitmq_url: str
) -> None:
    first, second, _ = [message.message_id for message in await all_of(channel, f"{SERVICE}.dlq")]
    assert first != second
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    for message_id in (first, second):
        await exchange.publish(Message(b"{}", message_id=message_id), SERVICE)
    assert await act(rabbitmq_url, "redrive", [SERVICE], wanted=first, dry_run=False) == 1
    await eventually(lambda: _counts(channel, dead=1, own=1))
    assert await act(rabbitmq_url, "drop", [SERVICE], wanted=second, dry_run=False) == 1
    await eventually(lambda: _counts(channel, dead=0, own=1))


async def _counts(channel: AbstractChannel, *, dead: int, own: int) -> bool:
    return (await in_queue(channel, f"{SERVICE}.dlq"), await in_queue(channel, SERVICE)) == (dead, own)
