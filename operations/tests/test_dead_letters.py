"""The dead letters as a person handles them, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.messaging.envelope import SINGLE
from chassis.messaging.topology import DEAD_LETTER_EXCHANGE, Queue, assert_topology
from chassis.testing import eventually

from operations import __main__ as command_line
from operations import dead_letters
from operations.addresses import Refused
from operations.dead_letters import act

SERVICE = "order-service"


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[AbstractChannel]:
    """With an empty queue of a service, and its empty dead letters."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        for name in (SERVICE, f"{SERVICE}.dlq"):
            await channel.queue_delete(name)
        await assert_topology(channel, Queue(SERVICE, ()))
        yield channel
        for name in (SERVICE, f"{SERVICE}.dlq"):
            await channel.queue_delete(name)


@pytest.fixture
async def letters(channel: AbstractChannel) -> None:
    """Two dead letters of ours, and one that the broker itself might have set aside."""
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    for number in (1, 2):
        letter = Message(
            b'{"type": "ThingHappened", "subject": "order-%d"}' % number,
            content_type=SINGLE,
            message_id=str(uuid4()),
            headers={"x-reason": "unknown-order", "x-attempts": 1, "x-routing-key": "thing.happened"},
        )
        await exchange.publish(letter, SERVICE)
    await exchange.publish(
        Message(b"\xff", headers={"x-death": [{"reason": "delivery_limit", "queue": SERVICE}]}), SERVICE
    )


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
    assert "unknown-order  attempts 1  ThingHappened of order-1" in printed
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
    assert first.body == b'{"type": "ThingHappened", "subject": "order-1"}'
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


async def test_a_forged_letter_is_shown_and_dropped_and_never_sent_back(
    letters: None, channel: AbstractChannel, rabbitmq_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    await exchange.publish(Message(b"{}", message_id="lie", headers={"x-reason": "forged"}), SERVICE)

    with pytest.raises(Refused, match=r"^Not sent back: lie of order-service is forged: .* drop it\.$"):
        await act(rabbitmq_url, "redrive", [SERVICE], wanted="lie", dry_run=False)
    await eventually(lambda: _counts(channel, dead=4, own=0))
    for dry_run in (True, False):
        assert await act(rabbitmq_url, "redrive", [SERVICE], wanted=None, dry_run=dry_run) == 3
        assert "Not sent back: lie of order-service is forged" in capsys.readouterr().out
    await eventually(lambda: _counts(channel, dead=1, own=3))
    for command in ("show", "drop"):
        assert await act(rabbitmq_url, command, [SERVICE], wanted="lie", dry_run=False) == 1
    await eventually(lambda: _counts(channel, dead=0, own=3))


async def _counts(channel: AbstractChannel, *, dead: int, own: int) -> bool:
    return (await in_queue(channel, f"{SERVICE}.dlq"), await in_queue(channel, SERVICE)) == (dead, own)


@pytest.mark.parametrize("command", ["redrive", "drop"])
@pytest.mark.parametrize("dry_run", [False, True])
async def test_how_an_id_begins_is_enough_to_look_and_not_to_act(
    letters: None,
    channel: AbstractChannel,
    rabbitmq_url: str,
    command: str,
    dry_run: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ids of the same minute begin alike: whoever means one letter must not drop its neighbour, though the one meant is
    hidden, since somebody else is looking at it."""
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    for message_id in ("019-a", "019-b"):
        await exchange.publish(Message(b"{}", message_id=message_id), SERVICE)
    own = await channel.get_queue(f"{SERVICE}.dlq")
    held = [await own.get() for _ in range(4)]
    assert held[-1].message_id == "019-a"

    with pytest.raises(Refused, match=r"these begin: 019-b$"):
        await act(rabbitmq_url, command, [SERVICE], wanted="019", dry_run=dry_run)
    for message in held:
        await message.nack()
    await eventually(lambda: _counts(channel, dead=5, own=0))
    with pytest.raises(Refused, match=r"these begin: 019-a, 019-b$"):
        await act(rabbitmq_url, command, [SERVICE], wanted="019", dry_run=dry_run)
    assert capsys.readouterr().out == ""
    for look in ("list", "show"):
        assert await act(rabbitmq_url, look, [SERVICE], wanted="019", dry_run=False) == 2
    assert await act(rabbitmq_url, command, [SERVICE], wanted="018", dry_run=dry_run) == 0
    await eventually(lambda: _counts(channel, dead=5, own=0))


async def test_a_whole_id_is_its_letters_though_others_begin_with_it(
    letters: None, channel: AbstractChannel, rabbitmq_url: str
) -> None:
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    for message_id in ("019", "019-a", "019"):
        await exchange.publish(Message(b"{}", message_id=message_id), SERVICE)
    assert await act(rabbitmq_url, "drop", [SERVICE], wanted="019", dry_run=False) == 2
    assert "019-a" in [message.message_id for message in await all_of(channel, f"{SERVICE}.dlq")]


@pytest.mark.parametrize("command", ["list", "redrive"])
async def test_whoever_looks_next_sees_all_of_them(
    letters: None, channel: AbstractChannel, rabbitmq_url: str, command: str
) -> None:
    """At once: the letters are there again before the look is over."""
    for _ in range(40):
        assert await act(rabbitmq_url, command, [SERVICE], wanted=None, dry_run=True) == 3


async def test_a_look_ends_though_somebody_else_has_taken_the_letters(
    letters: None, channel: AbstractChannel, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever consumes them gets them as they are given back."""
    monkeypatch.setattr(dead_letters, "_BACK_WITHIN_SECONDS", 0.1)
    taken: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    found = dead_letters._letters(channel, [SERVICE])
    for _ in range(3):
        await anext(found)
    async with await aio_pika.connect(rabbitmq_url) as somebody:
        queue = await (await somebody.channel()).get_queue(f"{SERVICE}.dlq")
        await queue.consume(taken.put)
        assert [letter async for letter in found] == []
        await eventually(lambda: taken.qsize() == 3)


async def test_what_the_broker_set_aside_says_when_and_why_and_keeps_its_routing_key(
    letters: None, channel: AbstractChannel, rabbitmq_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though it bears the headers of an attempt that came before."""
    await all_of(channel, f"{SERVICE}.dlq")
    death = {
        "reason": "delivery_limit",
        "queue": SERVICE,
        "time": datetime(2026, 11, 24, tzinfo=UTC),
        "routing-keys": ["thing.happened"],
    }
    waited = {"reason": "expired", "queue": f"{SERVICE}.retry.1s", "routing-keys": [SERVICE]}
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    headers: dict[str, Any] = {"x-reason": "handler-error", "x-attempts": 1, "x-death": [waited, death]}
    await exchange.publish(Message(b"{}", headers=headers), SERVICE)

    assert await act(rabbitmq_url, "redrive", [SERVICE], wanted=None, dry_run=False) == 1
    assert "2026-11-24T00:00:00+00:00  broker: delivery_limit  attempts 1" in capsys.readouterr().out
    await eventually(lambda: _counts(channel, dead=0, own=1))
    (again,) = await all_of(channel, SERVICE)
    assert again.headers["x-routing-key"] == "thing.happened"
    assert not {"x-death", "x-reason", "x-attempts"} & set(again.headers)


async def test_a_letter_that_comes_back_at_once_is_sent_back_once(
    letters: None, channel: AbstractChannel, rabbitmq_url: str
) -> None:
    """As one whose handler still fails does: redriving all of them ends."""
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    own = await channel.get_queue(SERVICE)

    async def refuse(message: AbstractIncomingMessage) -> None:
        await exchange.publish(Message(message.body, message_id=message.message_id), SERVICE)
        await message.ack()

    tag = await own.consume(refuse)
    assert await act(rabbitmq_url, "redrive", [SERVICE], wanted=None, dry_run=False) == 3
    await eventually(lambda: _counts(channel, dead=3, own=0))
    await own.cancel(tag)


async def test_whoever_is_interrupted_before_the_queue_has_a_letter_has_not_lost_it(
    letters: None, channel: AbstractChannel, rabbitmq_url: str
) -> None:
    await channel.queue_delete(SERVICE)

    with pytest.raises(aio_pika.exceptions.PublishError):
        await act(rabbitmq_url, "redrive", [SERVICE], wanted=None, dry_run=False)

    async def all_there() -> bool:
        return await in_queue(channel, f"{SERVICE}.dlq") == 3

    await eventually(all_there)


async def test_two_who_redrive_at_the_same_time_share_the_letters(
    letters: None, channel: AbstractChannel, rabbitmq_url: str
) -> None:
    redriving = [act(rabbitmq_url, "redrive", [SERVICE], wanted=None, dry_run=False) for _ in range(2)]
    assert sum(await asyncio.gather(*redriving)) == 3
    await eventually(lambda: _counts(channel, dead=0, own=3))


async def test_what_would_steer_the_terminal_is_shown_instead(
    letters: None, channel: AbstractChannel, rabbitmq_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = await channel.get_exchange(DEAD_LETTER_EXCHANGE)
    body = b'{"type": "\\u001b[2J' + b"x" * 1000 + b'", "subject": "\x7f"}'
    await exchange.publish(Message(body, headers={"x-error": "\x1b[2J"}), SERVICE)

    await act(rabbitmq_url, "list", [SERVICE], wanted=None, dry_run=False)
    assert max(map(len, capsys.readouterr().out.splitlines())) < 300
    await act(rabbitmq_url, "show", [SERVICE], wanted=None, dry_run=False)
    assert "\x1b" not in (shown := capsys.readouterr().out)
    assert "x-error: \\x1b[2J" in shown


@pytest.mark.parametrize(("user", "verified"), [("operations", True), ("admin", False)])
def test_who_logs_in_as_the_operator_is_verified_whatever_the_shell_says(
    user: str, verified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    async def act(*_: object, **options: object) -> int:
        asked.update(options)
        return 0

    monkeypatch.setattr(dead_letters, "act", act)
    monkeypatch.setenv("RABBITMQ_URL", f"amqp://{user}:secret@localhost/")
    assert command_line.main(["dead-letters", "redrive", "--all"]) == 0
    assert asked["verified"] is verified
