"""One service's end of the wire, in the interpreter and with the code of the folder that it runs in: encodes events as
the domain tells them, and decodes what others sent. A line of JSON each, in and out; tests/test_events.py asks."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

from chassis.messaging.envelope import Decoder, encode, join
from chassis.ports.events import Received
from chassis.testing.contracts import published_events
from pydantic import TypeAdapter

sys.path.insert(0, ".")
messages = import_module("application.messages")
events = published_events(import_module("domain.events")) if Path("domain/events.py").exists() else []
published = {event.name: TypeAdapter(event) for event in events}
decoder = Decoder(messages.CONSUMED)


def message(name: str, events: list[dict[str, Any]], source: str) -> dict[str, Any]:
    """Each event is its `data`, from which the domain's class is made, and the envelope's id, time and traceparent."""
    bodies = [
        encode(
            source,
            published[name].validate_python(event["data"]),
            event_id=UUID(event["id"]),
            time=datetime.fromisoformat(event["time"]),
            traceparent=event["traceparent"],
        ).body
        for event in events
    ]
    body, content_type = join(bodies)
    return {"body": body.decode(), "content_type": content_type}


def decode(body: str, content_type: str) -> list[dict[str, Any]]:
    """What the use case would see, every value as a string that loses nothing."""
    return [
        {
            "id": str(event.id),
            "order_id": event.order_id,
            "traceparent": event.traceparent,
            "data": TypeAdapter(type(event.data)).dump_python(event.data, mode="json"),
        }
        if isinstance(event, Received)
        else {"unreadable": event.detail}
        for event in decoder.decode(body.encode(), content_type)
    ]


if __name__ == "__main__":
    acts: dict[str, Callable[..., Any]] = {
        "reads": lambda: list(messages.CONSUMED),
        "publishes": lambda: list(published),
        "encode": message,
        "decode": decode,
    }
    for line in sys.stdin:
        act, arguments = json.loads(line)
        print(json.dumps(acts[act](*arguments)), flush=True)
