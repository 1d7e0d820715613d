"""RabbitMQ, as far as a service can tell: the exchanges, queues and bindings of deploy/rabbitmq/definitions.json.

Order is not kept, as design says that nobody needs it: redeliveries, retries and several consumers upset it anyway.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

DEFINITIONS = Path(__file__).resolve().parents[2] / "deploy" / "rabbitmq" / "definitions.json"
TAP = "order_events.tap"
"""Takes every message, for people to look at: left out, or "no queue took it" could not happen."""


@dataclass(slots=True)
class Stored:
    """A message in a queue, or delivered and not acknowledged yet."""

    body: bytes
    content_type: str | None
    routing_key: str
    headers: dict[str, str | int] = field(default_factory=dict)
    ready_at: int = 0
    deliveries: int = 0

    def copy(self) -> "Stored":
        return Stored(self.body, self.content_type, self.routing_key, dict(self.headers))


@cache
def definitions() -> dict[str, Any]:
    return dict(json.loads(DEFINITIONS.read_text()))


@cache
def queues() -> dict[str, dict[str, Any]]:
    """Each queue's arguments."""
    return {queue["name"]: queue["arguments"] for queue in definitions()["queues"] if queue["name"] != TAP}


@cache
def route(exchange: str, routing_key: str) -> tuple[str, ...]:
    """The queues that take a message published so."""
    if exchange == "":
        return (routing_key,) if routing_key in queues() else ()
    [kind] = [known["type"] for known in definitions()["exchanges"] if known["name"] == exchange]
    return tuple(
        binding["destination"]
        for binding in definitions()["bindings"]
        if binding["source"] == exchange and binding["destination"] != TAP
        if kind == "fanout" or binding["routing_key"] == routing_key
    )


def waits_for(queue: str) -> int | None:
    """How many microseconds a message stays in a retry queue; None for a queue that has a reader."""
    milliseconds = queues()[queue].get("x-message-ttl")
    return None if milliseconds is None else int(milliseconds) * 1000
