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


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of one service, bound to the events that the service reads."""

    service: str
    events: Sequence[str]

    @property
    def dead_letters(self) -> str:
        return f"{self.service}.dlq"

    @property
    def arguments(self) -> dict[str, Any]:
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
            "x-dead-letter-routing-key": self.service,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }


def retry_name(delay_seconds: int) -> str:
    """The exchange and the queue for this delay. Messages expire only at a queue's head, so each delay has its own."""
    return f"{EXCHANGE}.retry.{delay_seconds}s"


def _retry_arguments(delay_seconds: int) -> dict[str, Any]:
    # Expired messages go to the default exchange with their own routing key, the name of their service's queue.
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": delay_seconds * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


# Whoever reads dead letters in the management UI requeues them, which counts as a delivery each time.
DEAD_LETTER_ARGUMENTS: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


async def assert_topology(channel: AbstractChannel, queue: Queue) -> AbstractQueue:
    """Declares what the service needs and doesn't exist yet, in an order in which no message can be lost."""
    await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
    dead_letters = await channel.declare_exchange(DEAD_LETTER_EXCHANGE, ExchangeType.DIRECT, durable=True)
    dead_letter_queue = await channel.declare_queue(queue.dead_letters, durable=True, arguments=DEAD_LETTER_ARGUMENTS)
    await dead_letter_queue.bind(dead_letters, queue.service)
    for delay in RETRY_DELAYS_SECONDS:
        exchange = await channel.declare_exchange(retry_name(delay), ExchangeType.FANOUT, durable=True)
        waiting = await channel.declare_queue(retry_name(delay), durable=True, arguments=_retry_arguments(delay))
        await waiting.bind(exchange, "")
    own = await channel.declare_queue(queue.service, durable=True, arguments=queue.arguments)
    for event in queue.events:
        await own.bind(EXCHANGE, routing_key(event))
    return own
