"""The contract files of a service, made from what it declares: `python -m chassis.testing.declared [--check]`, in the
service's folder. `make contracts` runs it for all services.

An event is a dataclass with a `name` in domain/events.py. Its docstring says when it is published; a field's Annotated
metadata has JSON Schema keywords, of which the first of `examples` stands in the example. A field with a default may be
absent, because events that were published before it was added lack it.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints
from uuid import UUID

from chassis.messaging.envelope import encode
from chassis.messaging.topology import Queue
from chassis.ports.events import routing_key
from chassis.ports.ids import uuid7
from chassis.testing.contracts import published_events

_TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_SCHEMAS: dict[type, dict[str, Any]] = {
    UUID: {"type": "string", "format": "uuid"},
    datetime: {"type": "string", "format": "date-time"},
    Decimal: {"type": "number"},
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
}


def files(event: type[Any], source: str, folder: Path, today: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What stands in the files of the event's contract. An example that is right already stays as it is; one that
    changes gets a copy in history/, where nothing is ever edited."""
    yield folder / f"{event.name}.schema.json", schema(event, source)
    path = folder / f"{event.name}.example.json"
    before = json.loads(path.read_text()) if path.exists() else None
    made = before if before and before["data"] == example(event) else _envelope(event, source, before)
    yield path, made
    kept = sorted((folder / "history").glob(f"{event.name}.*.example.json"))
    if not kept or json.loads(kept[-1].read_text()) != made:
        yield folder / "history" / f"{event.name}.{today}.example.json", made


def outdated(events: Iterable[type[Any]], service: Path) -> dict[Path, str]:
    """The files in the service's folder that are not as they are declared, with what they should contain."""
    wanted = {
        path: json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for event in events
        for path, content in files(event, service.name, service / "contracts", f"{datetime.now(UTC):%Y-%m-%d}")
    }
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text}


def schema(event: type[Any], source: str) -> dict[str, Any]:
    says = " ".join((event.__doc__ or "").split())
    dataschema = f"urn:order-processing:event:{event.name}:1"
    envelope: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": _SCHEMAS[UUID] | {"description": "The event's identity: the same id again is the same event again."},
        "type": {"const": event.name},
        "source": {"const": source},
        "subject": _SCHEMAS[UUID] | {"description": "The order."},
        "time": _SCHEMAS[datetime] | {"description": "When it happened."},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": dataschema},
        "traceparent": {
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "The trace of the request that placed the order.",
        },
        "repeat": {"const": True, "description": "Published again, under a new id."},
        "data": _of_dataclass(event),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": dataschema,
        "title": event.name,
        "description": f"{says} A CloudEvents 1.0 envelope in structured JSON; readers ignore fields they don't know.",
        "type": "object",
        "required": [name for name in envelope if name != "repeat"],
        "additionalProperties": True,
        "properties": envelope,
    }


def example(event: type[Any]) -> dict[str, Any]:
    """The data of the event's example. Raises LookupError for a field that has none."""
    found = {}
    for name, hint in _hints(event).items():
        examples = _schema(hint).get("examples")
        if not examples:
            raise LookupError(f"{event.__name__}.{name} has no `examples` in its annotation")
        found[name] = examples[0]
    return found


def _envelope(event: type[Any], source: str, before: dict[str, Any] | None) -> dict[str, Any]:
    """A new example. It keeps the identity of the one before: it is the same fact, with more said of it."""
    data = example(event)
    if before is not None:
        return before | {"data": data}
    blank = object.__new__(event)
    for name, value in data.items():
        object.__setattr__(blank, name, value)
    time = datetime(2026, 11, 24, 12, tzinfo=UTC)
    encoded = encode(source, blank, event_id=uuid7(), time=time, traceparent=_TRACEPARENT)
    return cast(dict[str, Any], json.loads(encoded.body))


def _of_dataclass(kind: type[Any]) -> dict[str, Any]:
    needed = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]
    properties = {name: _schema(hint) for name, hint in _hints(kind).items()}
    return {"type": "object", "required": needed, "additionalProperties": True, "properties": properties}


def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _schema(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is Annotated:
        kind, *keywords = get_args(hint)
        found = _schema(kind)
        for more in keywords:
            found = found | more
        return found
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _schema(get_args(hint)[0])}
    if NoneType in get_args(hint):  # a field that may be absent, and is then left out
        return _schema(next(kind for kind in get_args(hint) if kind is not NoneType))
    return _of_dataclass(cast(type[Any], hint)) if is_dataclass(hint) else dict(_SCHEMAS[hint])


def _summary(service: str, events: list[type[Any]], consumed: list[str]) -> dict[str, Any]:
    """What the map of the broker and the table of events need."""
    queue = Queue(service, consumed)
    common = {"durable": True, "auto_delete": False}
    return {
        "service": service,
        "published": [
            {
                "name": event.name,
                "routing_key": routing_key(event.name),
                "says": " ".join((event.__doc__ or "").split()),
                "data": list(_hints(event)),
            }
            for event in events
        ],
        "consumed": consumed,
        "exchanges": [
            {"name": name, "type": kind.value, **common, "internal": False, "arguments": {}}
            for name, kind in queue.exchanges.items()
        ],
        "queues": [{"name": name, **common, "arguments": arguments} for name, arguments in queue.queues.items()],
        "bindings": [
            {
                "source": source,
                "destination": destination,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for source, destination, key in queue.bindings
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Writes the contract files of the service in this folder.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not as it would be")
    check = parser.parse_args(arguments).check
    folder = Path.cwd()
    sys.path.insert(0, str(folder))
    consumed = importlib.import_module("application.messages").CONSUMED
    events: list[type[Any]] = []
    if (folder / "domain" / "events.py").exists():
        events = published_events(importlib.import_module("domain.events"))
    wrong = outdated(events, folder)
    for path, text in wrong.items():
        print(f"{path.relative_to(folder.parent)}: {'run `make contracts`' if check else 'written'}", file=sys.stderr)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    print(json.dumps(_summary(folder.name, events, list(consumed))))
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
