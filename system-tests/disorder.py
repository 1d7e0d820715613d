"""A man in the middle, between the exchange of events and the queues: what RabbitMQ may do in its worst hour.

Every event reaches every reader twice or more, late, in any order, and in other company than it was sent in (but of its
own type: a message has one routing key).
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from operator import itemgetter

from aio_pika.abc import AbstractIncomingMessage

from bus import Bus, Event, Management, events_in
from operations.addresses import SERVICES

_EVERY_SECONDS = 0.02
_SHARE_HELD_BACK = 0.8
_COPIES = 2


@asynccontextmanager
async def disorder(bus: Bus, management: Management, chance: random.Random) -> AsyncIterator[None]:
    """Takes the queues' bindings away and does the forwarding itself; at the end it makes them again and delivers what
    it still has. The services bind their queues by themselves once a minute: then an event comes a third time."""
    bindings = {queue: await management.unbind(queue) for queue in SERVICES}
    async with bus.messages() as arrived:
        ending = asyncio.Event()
        forwarding = asyncio.create_task(_forward(bus, arrived, bindings, chance, ending))
        try:
            yield
        finally:
            for queue, routing_keys in bindings.items():
                await management.bind(queue, routing_keys)
            ending.set()
            await forwarding


_type = itemgetter("type")


async def _forward(
    bus: Bus,
    arrived: "asyncio.Queue[AbstractIncomingMessage]",
    bindings: dict[str, list[str]],
    chance: random.Random,
    ending: asyncio.Event,
) -> None:
    waiting: dict[str, list[Event]] = {queue: [] for queue in bindings}
    while not (ending.is_set() and arrived.empty() and not any(waiting.values())):
        while not arrived.empty():
            message = arrived.get_nowait()
            for queue, routing_keys in bindings.items():
                if message.routing_key in routing_keys:
                    waiting[queue] += events_in(message) * _COPIES
        for queue, events in waiting.items():
            chance.shuffle(events)
            number = len(events) if ending.is_set() else round(len(events) * chance.random() * (1 - _SHARE_HELD_BACK))
            if number := number or min(1, len(events)):
                # Under the queue's own name, as the retry queues deliver.
                for _, alike in groupby(sorted(events[:number], key=_type), key=_type):
                    await bus.send_events(list(alike), routing_key=queue, exchange="")
                del events[:number]
        await asyncio.sleep(_EVERY_SECONDS)
