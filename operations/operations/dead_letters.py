"""Lists dead letters, shows them, sends them back or drops them.

    dead-letters                                    lists those of all services, or of those that are named
    dead-letters show --id 0198c5f0-5b1e            those whose id begins like this
    dead-letters redrive order-service --all        or --id; --dry-run: what would be

Redrive and drop take whole ids: nobody can tell that an id begins like no other letter's, since letters that somebody
else is looking at are hidden meanwhile.

A redriven event keeps its ids and goes to the queue that set it aside and to no other, so whoever has taken it in
already does nothing. It leaves the dead letters once its queue has it: whoever is interrupted, or comes at the same
time as somebody else, sends it twice at worst. What is not redriven or dropped stays where it is: a forged letter, for
one, which can only be dropped.

In production (ENVIRONMENT) a letter is sent back only if the service whose queue set it aside has put it there, or the
broker has and its events' publisher sent it: readers believe what comes from the operators' user, so that anybody else
who got a letter in here would be believed too.
"""

import argparse
import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.messaging.origin import OPERATOR
from chassis.messaging.topology import Queue
from chassis.ports.events import publisher

from operations.addresses import SERVICES, Refused, rabbitmq_url
from operations.waiting import until

ANSWER_TIMEOUT_SECONDS = 10.0
_BACK_WITHIN_SECONDS = 5.0
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class DeadLetter:
    service: str
    message: AbstractIncomingMessage

    @property
    def id(self) -> str:
        """The message's id, or where it has none a digest of it."""
        return self.message.message_id or hashlib.sha256(self.message.body).hexdigest()[:32]

    @property
    def _death(self) -> dict[str, Any]:
        """What the broker notes of a message that it set aside itself, because too many of its deliveries ended without
        an answer. Our own headers on such a message are those of an earlier attempt."""
        deaths: Any = self.message.headers.get("x-death") or []
        return next((death for death in deaths if death.get("queue") == self.service), {})

    @property
    def reason(self) -> str:
        if self._death:
            return f"broker: {self._death.get('reason', 'unknown')}"
        return str(self.message.headers.get("x-reason", "unknown"))

    def unfit(self, *, verified: bool) -> str | None:
        """Why it must not be sent back. `verified` if the broker vouches for each message's user_id."""
        if self.message.headers.get("x-reason") == "forged":
            return "is forged: nobody who may say so has said what is in it. Show it, find out who sent it, drop it"
        sender, publishers = self.message.user_id, {publisher(name) for name, _ in self.events}
        if not verified or sender in (self.service, OPERATOR) or publishers == {sender}:
            return None
        return f"was put there by {_plain(sender or 'nobody known')}, who publishes no such events: show it, drop it"

    @property
    def at(self) -> str:
        moment = self._death.get("time") or self.message.timestamp
        return moment.isoformat(timespec="seconds") if moment else "?"

    @property
    def routing_key(self) -> str | None:
        """The key under which it was published first."""
        keys = self._death.get("routing-keys") or [None]
        key = self.message.headers.get("x-routing-key") or keys[0]
        return None if key is None else str(key)

    @property
    def events(self) -> list[tuple[str, str]]:
        """Type and order of each event in it, as far as they can be read."""
        try:
            document = orjson.loads(self.message.body)
        except orjson.JSONDecodeError:
            return []
        envelopes = document if isinstance(document, list) else [document]
        return [(_name(e.get("type")), _name(e.get("subject"))) for e in envelopes if isinstance(e, dict)]

    def line(self) -> str:
        attempts = str(self.message.headers.get("x-attempts", "?"))
        events = ", ".join(f"{name} of {order}" for name, order in self.events[:3]) or f"{len(self.message.body)} bytes"
        more = f" and {len(self.events) - 3} more" if len(self.events) > 3 else ""
        return _plain(f"{self.service}  {self.id}  {self.at}  {self.reason}  attempts {attempts}  {events}{more}")

    def text(self) -> str:
        headers = "\n".join(f"{name}: {value!s}" for name, value in sorted(self.message.headers.items()))
        return f"{self.line()}\n\n{_plain(headers)}\n\n{_plain(self.message.body.decode(errors='backslashreplace'))}"

    async def redrive(self, channel: AbstractChannel, *, verified: bool) -> None:
        """Publishes it to the queue that set it aside; its attempts are counted anew. Returns once it is there."""
        again = Message(
            self.message.body,
            content_type=self.message.content_type,
            message_id=self.id,
            delivery_mode=DeliveryMode.PERSISTENT,
            user_id=OPERATOR if verified else None,
            headers={"x-routing-key": self.routing_key} if self.routing_key else {},
        )
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            await channel.default_exchange.publish(again, self.service, mandatory=True)


def _name(value: object) -> str:
    return str(value)[:_LONGEST_NAME]


def _plain(text: str) -> str:
    """Anybody may have written it: what would steer the terminal is shown instead."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


async def _letters(channel: AbstractChannel, services: Sequence[str]) -> AsyncIterator[DeadLetter]:
    """Those that there are now, one at a time; what comes back meanwhile is left for the next time. Those that were not
    acknowledged are given back service by service."""
    for service in services:
        queue = await channel.declare_queue(Queue(service, ()).dead_letters, passive=True)
        kept, last = 0, None
        for _ in range(queue.declaration_result.message_count or 0):
            message = await queue.get(fail=False)
            if message is None:
                break
            yield DeadLetter(service, message)
            if not message.processed:
                kept, last = kept + 1, message
        if last is not None:
            await last.nack(multiple=True)
            await _ready(channel, queue.name, kept)


async def _ready(channel: AbstractChannel, queue: str, number: int) -> None:
    """Waits until so many letters can be looked at again: a quorum queue takes them back a moment after it was told to,
    and at the end of a connection later still, so that whoever looks next would miss them. Somebody else may have them
    by then, which is no reason to wait for ever."""

    async def back() -> bool:
        return ((await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0) >= number

    await until(back, within_seconds=_BACK_WITHIN_SECONDS, every_seconds=0.02)


async def act(
    url: str,
    command: str,
    services: Sequence[str],
    *,
    wanted: str | None,
    dry_run: bool,
    verified: bool = False,
    tell: Callable[[DeadLetter], object] | None = None,
) -> int:
    """Does it, and tells of each letter that it was done to (prints it, unless told otherwise); returns how many there
    were. `wanted` is an id, or to look how ids begin; None means all of them. Raises Refused, and has done nothing
    then, if that is no letter's whole id or if the letter must not be sent back; of all letters such ones are left."""
    tell = tell or (lambda letter: print(letter.text() if command == "show" else letter.line()))
    number, alike, left = 0, set[str](), list[str]()
    changes = command in ("redrive", "drop")
    async with await aio_pika.connect(url, timeout=ANSWER_TIMEOUT_SECONDS) as connection:
        channel = await connection.channel(on_return_raises=True)
        async for letter in _letters(channel, services):
            if wanted is not None and letter.id != wanted:
                if not letter.id.startswith(wanted):
                    continue
                if changes:
                    alike.add(_plain(letter.id))
                    continue
            if command == "redrive" and (unfit := letter.unfit(verified=verified)):
                left.append(f"Not sent back: {_plain(letter.id)} of {letter.service} {unfit}.")
                continue
            if command == "redrive" and not dry_run:
                await letter.redrive(channel, verified=verified)
            if changes and not dry_run:
                await letter.message.ack()
            number += 1
            tell(letter)
    if alike and not number:
        raise Refused(f"{command} takes a whole id; {wanted} is how these begin: {', '.join(sorted(alike))}")
    if left and wanted is not None:
        raise Refused(left[0])
    for sentence in left:
        print(sentence)
    return number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "show", "redrive", "drop"), default="list")
    parser.add_argument("services", nargs="*", default=SERVICES, help="whose, for example order-service (default: all)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--id", help="the letter with this id (list, show: those whose id begins so)")
    which.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(options: argparse.Namespace) -> int:
    action = options.action
    if action in ("redrive", "drop") and not (options.id or options.all):
        raise Refused(f"{action} needs --id or --all", 2)
    verified = urlsplit(rabbitmq_url()).username == OPERATOR  # only in production there is such a user
    acting = act(
        rabbitmq_url(), action, options.services, wanted=options.id, dry_run=options.dry_run, verified=verified
    )
    try:
        number = asyncio.run(acting)
    except (OSError, aio_pika.exceptions.AMQPError) as error:
        raise Refused(f"The broker's answer: {error!r}. Is it up, and are these its queues?") from None
    done = {"redrive": "sent back", "drop": "dropped"}.get(action, "found")
    print(f"{number} {'would be ' if options.dry_run else ''}{done}")
    return 0
