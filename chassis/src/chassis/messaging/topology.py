"""The exchanges and queues of RabbitMQ. deploy/rabbitmq/definitions.json has all of them; a service declares its own.

Works on RabbitMQ 3.10 to 4.x: https://www.rabbitmq.com/docs/quorum-queues and https://www.rabbitmq.com/docs/dlx
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue
from chassis.ports.events import routing_key

EXCHANGE = "order_events"
DEAD_LETTER_EXCHANGE = "order_events.dlx"
RETRY_DELAYS_SECONDS = (1, 5, 30)
DELIVERY_LIMIT = 50
"""Deliveries without an acknowledgement: the limit is for messages that kill the process, not for errors."""
_NOTHING_LOST = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


# Whoever reads dead letters in the management UI requeues them, which counts as a delivery each time.
DEAD_LETTER_ARGUMENTS: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of one service, bound to the events that the service reads, and what belongs to it."""

    service: str
    events: Sequence[str]

    @property
    def dead_letters(self) -> str:
        return f"{self.service}.dlq"

    @property
    def aside(self) -> str:
        """The exchange by which the service sets an event aside, under the name of the queue where it is to wait. It
        is the service's own, and leads only to its own queues: a service that may write to it can reach no other."""
        return f"{self.service}.aside"

    def retry(self, delay_seconds: int) -> str:
        """The queue for this delay. Messages expire only at a queue's head, so each delay has its own."""
        return f"{self.service}.retry.{delay_seconds}s"

    @property
    def exchanges(self) -> dict[str, ExchangeType]:
        return {
            EXCHANGE: ExchangeType.TOPIC,
            DEAD_LETTER_EXCHANGE: ExchangeType.DIRECT,
            self.aside: ExchangeType.DIRECT,
        }

    @property
    def queues(self) -> dict[str, dict[str, Any]]:
        """The arguments of each queue, by its name."""
        own = {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
            "x-dead-letter-routing-key": self.service,
            **_NOTHING_LOST,
        }
        waiting = {
            self.retry(delay): {
                "x-queue-type": "quorum",
                "x-message-ttl": delay * 1000,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self.service,
                **_NOTHING_LOST,
            }
            for delay in RETRY_DELAYS_SECONDS
        }
        return {self.service: own, self.dead_letters: DEAD_LETTER_ARGUMENTS, **waiting}

    @property
    def bindings(self) -> list[tuple[str, str, str]]:
        """Exchange, queue and routing key of each, in an order in which no message can be lost."""
        places = [name for name in self.queues if name != self.service]
        return [
            (DEAD_LETTER_EXCHANGE, self.dead_letters, self.service),
            *((self.aside, place, place) for place in places),
            *((EXCHANGE, self.service, routing_key(event)) for event in self.events),
        ]


async def assert_topology(channel: AbstractChannel, queue: Queue, *, passive: bool = False) -> AbstractQueue:
    """Declares what the service needs and doesn't exist yet. If `passive`, raises aio_pika's ChannelNotFoundEntity
    instead; that a binding is missing shows only in messages that no queue takes."""
    for name, kind in queue.exchanges.items():
        await channel.declare_exchange(name, kind, durable=True, passive=passive)
    declared = {
        name: await channel.declare_queue(name, durable=True, arguments=arguments, passive=passive)
        for name, arguments in queue.queues.items()
    }
    for source, destination, key in queue.bindings if not passive else ():
        await declared[destination].bind(source, key)
    return declared[queue.service]
