"""What a recording holds: a backup of the database, the broker's messages and topology, and what must come of it all.

A folder under `recordings/`, named by the version:

    shop.dump       the backup, as `make backup` writes it
    messages.jsonl  a line of JSON for each message: queue, routing key, properties, headers, body
    topology.json   exchanges, queues and bindings, as RabbitMQ's management API exports them
    shop.json       the orders and their ends, the idempotency keys and their answers, the gateway's charges, the stock

Deadlines are points in time, so a recording is read as if it had been made just now: every time in it moves by the same
number of whole seconds.
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

RECORDINGS = Path(__file__).parent / "recordings"
TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?=[.\d]*(?:Z|[+-]\d\d))"
"""A time down to its seconds, which a shift changes; fraction and zone stay as they are. PostgreSQL reads it too."""
_PROPERTIES = (
    "app_id",
    "content_encoding",
    "content_type",
    "correlation_id",
    "delivery_mode",
    "expiration",
    "headers",
    "message_id",
    "priority",
    "reply_to",
    "timestamp",
    "type",
)

Document = dict[str, Any]


def shifted(text: str, by: timedelta) -> str:
    """The text with every time in it moved."""

    def move(found: re.Match[str]) -> str:
        separator = found[0][10]
        return (datetime.fromisoformat(found[0]) + by).isoformat(separator)

    return re.sub(TIME, move, text)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits in a queue."""

    queue: str
    routing_key: str
    properties: Document
    body: bytes

    @classmethod
    def of(cls, queue: str, message: AbstractIncomingMessage) -> Self:
        told = {name: value for name, value in message.info().items() if name in _PROPERTIES and value is not None}
        return cls(queue, message.routing_key or "", told, message.body)

    @property
    def message(self) -> aio_pika.Message:
        return aio_pika.Message(self.body, **self.properties)

    @property
    def number_of_events(self) -> int:
        """1 for a message that nobody can read."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return 1
        return len(document) if isinstance(document, list) else 1

    def line(self) -> str:
        body = self.body.decode("utf-8", "surrogateescape")
        return json.dumps(asdict(self) | {"body": body}, default=_marked) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        document = json.loads(line, object_hook=_unmarked)
        return cls(**document | {"body": document["body"].encode("utf-8", "surrogateescape")})


def _marked(value: object) -> object:
    if isinstance(value, datetime):
        return {"$time": value.astimezone(UTC).isoformat()}
    raise TypeError(f"no JSON says {value!r}")


def _unmarked(document: Document) -> object:
    return datetime.fromisoformat(document["$time"]) if document.keys() == {"$time"} else document


@dataclass(frozen=True, slots=True)
class Recording:
    dump: Path
    shift: timedelta
    """What the times in the dump must be moved by; those of everything else have been."""
    topology: Document
    messages: list[Waiting]
    orders: dict[str, Document]
    """By a name that says how each stood: its `id`, and the `status`, `reason` and `payment` that it must end with."""
    answers: list[Document]
    """What a `service` answered to GET `path`, about orders of which nothing moves any more."""
    keys: list[Document]
    """The idempotency keys: the `headers` and the `body` of POST /orders, and the `answer`, None where none came."""
    charges: list[Document]
    """What the gateway has done: the `key`, the `kind` (charge or refund) and the `order` of each."""
    stock: dict[str, int]
    """How much there was of each product before its first order."""

    @classmethod
    def read(cls, folder: Path, *, as_if_made_now: bool = True) -> Self:
        recorded_at = datetime.fromisoformat(json.loads((folder / "shop.json").read_text())["recorded_at"])
        age = int((datetime.now(UTC) - recorded_at).total_seconds()) if as_if_made_now else 0
        shift = timedelta(seconds=age)
        shop = json.loads(shifted((folder / "shop.json").read_text(), shift))
        return cls(
            folder / "shop.dump",
            shift,
            json.loads((folder / "topology.json").read_text()),
            [Waiting.from_line(line) for line in shifted((folder / "messages.jsonl").read_text(), shift).splitlines()],
            **{name: shop[name] for name in ("orders", "answers", "keys", "charges", "stock")},
        )
