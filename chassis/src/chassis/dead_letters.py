"""The dead letters, for people: list them, look at one, send them back to their queue, or drop them.

    python -m chassis.dead_letters list order-service payment-service
    python -m chassis.dead_letters redrive order-service --id 0198c5f0        (or --all; --dry-run to see what would be)

A redriven event keeps its ids and goes to the queue that set it aside and to no other, so whoever has taken it in
already does nothing. What is not redriven or dropped stays where it is. RABBITMQ_URL says which broker.
"""

import argparse
import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aio_pika
import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.settings import ServiceSettings, load


@dataclass(frozen=True, slots=True)
class DeadLetter:
    service: str
    message: AbstractIncomingMessage

    @property
    def id(self) -> str:
        """The message's id, or where it has none a digest of it."""
        return self.message.message_id or hashlib.sha256(self.message.body).hexdigest()[:32]

    @property
    def reason(self) -> str:
        """Why it was set aside; by the broker itself, if its deliveries ended without an answer too often."""
        deaths: Any = self.message.headers.get("x-death") or [{}]
        return str(self.message.headers.get("x-reason") or f"broker: {deaths[0].get('reason', 'unknown')}")

    @property
    def events(self) -> list[tuple[str, str]]:
        """Type and order of each event in it, as far as they can be read."""
        try:
            document = orjson.loads(self.message.body)
        except orjson.JSONDecodeError:
            return []
        envelopes = document if isinstance(document, list) else [document]
        return [(str(e.get("type")), str(e.get("subject"))) for e in envelopes if isinstance(e, dict)]

    def line(self) -> str:
        at = self.message.timestamp.isoformat(timespec="seconds") if self.message.timestamp else "?"
        attempts = str(self.message.headers.get("x-attempts", "?"))
        events = ", ".join(f"{name} of {order}" for name, order in self.events[:3]) or f"{len(self.message.body)} bytes"
        more = f" and {len(self.events) - 3} more" if len(self.events) > 3 else ""
        return f"{self.service}  {self.id}  {at}  {self.reason}  attempts {attempts}  {events}{more}"

    def text(self) -> str:
        headers = "\n".join(f"{name}: {value!s}" for name, value in sorted(self.message.headers.items()))
        return f"{self.line()}\n\n{headers}\n\n{self.message.body.decode(errors='backslashreplace')}"

    async def redrive(self, channel: AbstractChannel) -> None:
        """Publishes it to the queue that set it aside; its attempts are counted anew. Returns once it is there."""
        headers = {name: value for name, value in self.message.headers.items() if name in ("x-routing-key",)}
        again = Message(
            self.message.body,
            content_type=self.message.content_type,
            message_id=self.id,
            delivery_mode=DeliveryMode.PERSISTENT,
            headers=headers,
        )
        await channel.default_exchange.publish(again, self.service, mandatory=True)


@asynccontextmanager
async def dead_letters(rabbitmq_url: str, service: str) -> AsyncIterator[tuple[AbstractChannel, list[DeadLetter]]]:
    """All dead letters of the service. Those that are not acknowledged go back to their queue at the end."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue(f"{service}.dlq", passive=True)
        letters: list[DeadLetter] = []
        while (message := await queue.get(fail=False)) is not None:
            letters.append(DeadLetter(service, message))
        yield channel, letters


async def act(rabbitmq_url: str, command: str, services: list[str], *, wanted: str | None, dry_run: bool) -> int:
    """Does it, and says so line by line; returns how many letters it was done to. `wanted` is how an id begins; None
    means all of them."""
    number = 0
    for service in services:
        async with dead_letters(rabbitmq_url, service) as (channel, letters):
            for letter in letters:
                if wanted is not None and not letter.id.startswith(wanted):
                    continue
                number += 1
                print(letter.text() if command == "show" else letter.line())
                if dry_run or command in ("list", "show"):
                    continue
                if command == "redrive":
                    await letter.redrive(channel)
                await letter.message.ack()
    return number


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chassis.dead_letters", description=__doc__)
    parser.add_argument("command", choices=("list", "show", "redrive", "drop"))
    parser.add_argument("services", nargs="+", help="whose, for example order-service")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--id", help="the letter whose id begins like this")
    which.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    options = parser.parse_args()
    if options.command in ("redrive", "drop") and not (options.id or options.all):
        parser.error(f"{options.command} needs --id or --all")
    url = load(ServiceSettings).rabbitmq_url
    try:
        number = asyncio.run(act(url, options.command, options.services, wanted=options.id, dry_run=options.dry_run))
    except (OSError, aio_pika.exceptions.AMQPError) as error:
        print(f"The broker's answer: {error}. Is it up, and are these its queues?", file=sys.stderr)
        return 1
    done = {"redrive": "sent back", "drop": "dropped"}.get(options.command, "found")
    print(f"{number} {'would be ' if options.dry_run else ''}{done}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
