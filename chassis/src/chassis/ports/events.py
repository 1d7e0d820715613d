"""Events, as use cases see them."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol
from uuid import UUID

from pydantic import AwareDatetime, Field

_WORD = re.compile("[A-Z][a-z0-9]*")
_TRACEPARENT = re.compile(rb'"traceparent":"([^"]*)"')

# Types of the fields in an event's data.
Instant = Annotated[AwareDatetime, Field(lt=datetime(9000, 1, 1, tzinfo=UTC))]
"""Early enough that adding some days does not overflow."""
Slug = Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]
"""A reason, listed in docs/events.md."""


@cache
def routing_key(name: str) -> str:
    """The routing key of events of that name: order.created for OrderCreated."""
    return ".".join(word.lower() for word in _WORD.findall(name))


@cache
def publisher(name: str) -> str:
    """Who publishes events of that name: order-service for OrderCreated. The broker's permissions follow it too."""
    return f"{routing_key(name).partition('.')[0]}-service"


class OrderEvent(Protocol):
    """A domain event: a dataclass whose fields are the event's `data`. `name` is its CloudEvents type."""

    name: ClassVar[str]

    @property
    def order_id(self) -> UUID: ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An encoded event: what a row of the outbox holds."""

    id: UUID
    type: str
    routing_key: str
    order_id: str
    body: bytes

    @property
    def traceparent(self) -> str:
        """Searched for in the body, the only place where a row of the outbox has it; empty if there is none."""
        found = _TRACEPARENT.search(self.body)
        return found[1].decode() if found else ""


@dataclass(frozen=True, slots=True)
class Received:
    """An event from a queue; `data` is an instance of the class that the consumer declared for the event's type."""

    id: UUID
    type: str
    order_id: str
    traceparent: str
    data: Any
    document: Any = field(repr=False)
    repeat: bool = False
    """Whether the publisher sent the same fact before, under another id, and got no answer."""
