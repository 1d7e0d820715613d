"""Where a message comes from, and whether what it says can come from there."""

from dataclasses import dataclass
from typing import Self

from aio_pika.abc import AbstractIncomingMessage
from chassis.ports.events import Received, publisher, routing_key


@dataclass(frozen=True, slots=True)
class Origin:
    routing_key: str
    """Under which the message was first published. A retried or redriven message's own key is the queue's name."""
    attempts: int

    @classmethod
    def of(cls, message: AbstractIncomingMessage) -> Self:
        attempts = message.headers.get("x-attempts", 0)
        return cls(
            str(message.headers.get("x-routing-key") or message.routing_key or ""),
            min(max(attempts, 0), 1000) if type(attempts) is int else 0,
        )

    def contradicts(self, event: Received) -> str | None:
        """Why the event is a forgery; None if nothing shows that it is one."""
        if event.document["source"] != publisher(event.type):
            return f"{event.type} is published by {publisher(event.type)}, not by {event.document['source'][:100]}"
        if self.routing_key != routing_key(event.type):
            return f"{event.type} came under the routing key {self.routing_key[:100]}"
        return None
