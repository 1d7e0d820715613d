"""Where a message comes from, and whether what it says can come from there."""

from dataclasses import dataclass
from typing import Self

from aio_pika.abc import AbstractIncomingMessage
from chassis.ports.events import Received, publisher, routing_key

OPERATOR = "operations"
"""The broker user that sends dead letters back."""


@dataclass(frozen=True, slots=True)
class Origin:
    sender: str | None
    """The broker user that the message is held to; None in a retry, in a redrive, or where nobody verifies senders."""
    routing_key: str
    """Under which the message was first published. A retried or redriven message's own key is the queue's name."""
    attempts: int

    @classmethod
    def of(cls, message: AbstractIncomingMessage, service: str, *, verified: bool) -> Self:
        """For a message in the service's queue; `verified` if the broker vouches for each message's user_id."""
        if verified and message.user_id not in (service, OPERATOR):
            return cls(message.user_id or "nobody", message.routing_key or "", 0)
        attempts = message.headers.get("x-attempts", 0)
        return cls(
            None,
            str(message.headers.get("x-routing-key") or message.routing_key or ""),
            min(max(attempts, 0), 1000) if type(attempts) is int else 0,
        )

    def contradicts(self, event: Received) -> str | None:
        """Why the event is a forgery; None if nothing shows that it is one."""
        rightful, source = publisher(event.type), event.document["source"]
        if source != rightful:
            return f"{event.type} is published by {rightful}, not by {source[:100]}"
        if self.routing_key != routing_key(event.type):
            return f"{event.type} came under the routing key {self.routing_key[:100]}"
        if self.sender not in (None, rightful):
            return f"{event.type} is published by {rightful}, but {self.sender} sent it"
        return None
