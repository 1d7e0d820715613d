"""The envelope of an event and its codec: CloudEvents 1.0 in structured JSON, alone or as a JSON batch.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, sections 3 and 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from chassis.ports.events import OrderEvent, Outgoing, Received, routing_key
from chassis.ports.tracing import new_traceparent, valid_traceparent
from pydantic import TypeAdapter, ValidationError

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MAX_BODY_BYTES = 512 * 1024
MAX_EVENTS_READ = 1000


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message, or one of its events, that can't be read. `reason` is a slug listed in docs/events.md."""

    reason: str
    detail: str
    raw: bytes = field(repr=False)
    content_type: str | None
    """The content type of `raw`, which may be a single event of a batch."""


def encode(
    source: str, event: OrderEvent, *, event_id: UUID, time: datetime, traceparent: str, repeat: bool = False
) -> Outgoing:
    """`repeat` sets an extension attribute of CloudEvents that other events lack."""
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "type": event.name,
        "source": source,
        "subject": event.order_id,
        "time": time,
        "datacontenttype": "application/json",
        "dataschema": f"urn:order-processing:event:{event.name}:1",
        "traceparent": traceparent,
        **({"repeat": True} if repeat else {}),
        "data": event,
    }
    body = orjson.dumps(envelope, default=_plain, option=orjson.OPT_UTC_Z)
    return Outgoing(event_id, event.name, routing_key(event.name), str(event.order_id), body)


def _plain(value: object) -> float | str:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):  # asyncpg's subclass, which orjson doesn't recognize
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in an event")


def join(bodies: list[bytes]) -> tuple[bytes, str]:
    """Body and content type of a message with these encoded events."""
    return (bodies[0], SINGLE) if len(bodies) == 1 else (b"[" + b",".join(bodies) + b"]", BATCH)


class Decoder:
    """Reads messages for one consumer, which declares for each type of event a class with the fields it uses."""

    def __init__(self, consumed: Mapping[str, type]) -> None:
        self._adapters: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(data) for name, data in consumed.items()}

    def decode(self, body: bytes, content_type: str | None) -> list[Received | Unreadable]:
        """The message's events in order. Never raises: an event that can't be read is Unreadable."""

        def unreadable(reason: str, detail: str) -> list[Received | Unreadable]:
            return [Unreadable(reason, detail, body, content_type)]

        if len(body) > MAX_BODY_BYTES:
            return unreadable("too-large", f"{len(body)} bytes, at most {MAX_BODY_BYTES} are read")
        media_type = (content_type or "").partition(";")[0].strip().lower()
        if media_type not in (SINGLE, BATCH):
            return unreadable("unsupported-content-type", f"{content_type!r} is neither {SINGLE} nor {BATCH}")
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return unreadable("not-json", str(error))
        if media_type == SINGLE:
            return [self._event(document, body, media_type)]
        if not isinstance(document, list):
            return unreadable("not-cloudevents", "a batch is a JSON array of events")
        if not document:
            return unreadable("empty-batch", "a batch without an event")
        if len(document) > MAX_EVENTS_READ:  # one dead letter, not hundreds of thousands
            return unreadable("too-large", f"{len(document)} events, at most {MAX_EVENTS_READ} are read")
        return [self._event(element, body, media_type) for element in document]

    def _event(self, document: Any, message: bytes, media_type: str) -> Received | Unreadable:
        def unreadable(reason: str, detail: str) -> Unreadable:
            try:
                return Unreadable(reason, detail, orjson.dumps(document), SINGLE)
            except orjson.JSONEncodeError:  # nested more deeply than orjson writes
                return Unreadable(reason, detail, message, media_type)

        if not isinstance(document, dict) or document.get("specversion") != "1.0":
            return unreadable("not-cloudevents", "an event is a JSON object with specversion 1.0")
        name, subject = document.get("type"), document.get("subject")
        if not (isinstance(name, str) and isinstance(document.get("source"), str) and isinstance(subject, str)):
            return unreadable("not-cloudevents", "type, source and subject must be strings")
        try:
            event_id = UUID(document.get("id"))
        except (ValueError, TypeError, AttributeError):
            return unreadable("not-cloudevents", "id must be a UUID")
        adapter = self._adapters.get(name)
        if adapter is None:
            return unreadable("unknown-type", f"{name[:100]} is not read here")
        try:
            data = adapter.validate_python(document.get("data"))
        except ValidationError as error:
            return unreadable("invalid-data", _in_short(error))
        trace = valid_traceparent(document.get("traceparent")) or new_traceparent()
        order_id = str(getattr(data, "order_id", subject))[:36]
        return Received(event_id, name, order_id, trace, data, document, document.get("repeat") is True)


def _in_short(error: ValidationError) -> str:
    """The invalid fields, without their values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'data'}: {problem['msg']}" for problem in problems)[:500]
