"""The contracts that a service gives to others: schema and example of each event that it publishes, and in `history/`
every example that it ever gave."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import orjson
from chassis.messaging.envelope import SINGLE, Decoder
from chassis.ports.events import Received, publisher
from jsonschema import Draft202012Validator, FormatChecker, SchemaError  # type: ignore[import-untyped]  # it ships none

_formats = FormatChecker(["uuid"])


@_formats.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]
def _is_utc(value: object) -> bool:
    """RFC 3339 in UTC, which is stricter than the format asks: it is what our events have."""
    return not isinstance(value, str) or (value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None)


class Contracts:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def schema(self, event: str) -> dict[str, Any]:
        return _read(self.folder / f"{event}.schema.json")

    def example(self, event: str) -> dict[str, Any]:
        return _read(self.folder / f"{event}.example.json")

    def kept_examples(self, event: str) -> list[dict[str, Any]]:
        """Every example of the event that was ever given to others, the oldest first; the last is today's."""
        return [_read(path) for path in sorted((self.folder / "history").glob(f"{event}.*.example.json"))]

    def violations(self, document: object, event: str) -> list[str]:
        """What in the document breaks the event's schema; empty when it fits."""
        validator = Draft202012Validator(self.schema(event), format_checker=_formats)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]

    def problems(self, published: Iterable[type[Any]]) -> list[str]:
        """What is wrong with the contracts of the events of these classes, as sentences."""
        events = {event.name: event for event in published}
        expected = {f"{name}.{kind}.json" for name in events for kind in ("schema", "example")}
        if odd := expected ^ {path.name for path in self.folder.glob("*.json")}:
            return [f"{name} is there or published, but not both" for name in sorted(odd)]
        return [f"{name}: {problem}" for name, event in events.items() for problem in self._problems_of(name, event)]

    def _problems_of(self, name: str, event: type[Any]) -> Iterator[str]:
        schema, example, kept = self.schema(name), self.example(name), self.kept_examples(name)
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            yield f"its schema is none: {error.message}"
            return
        data = schema["properties"]["data"]["properties"]
        if not schema["$id"] == f"urn:order-processing:event:{name}:1" == example["dataschema"]:
            yield "the schema's $id is not the dataschema of its events"
        if data.keys() != {field.name for field in fields(event)}:
            yield "the schema tells of other fields than are sent"
        if example.keys() != schema["properties"].keys() - {"repeat"} or example["data"].keys() != data.keys():
            yield "the example does not show each field of an event that is said for the first time"
        if example["source"] != publisher(name):
            yield f"{example['source']} publishes it, though readers take it from {publisher(name)} alone"
        if example["subject"] != example["data"]["order_id"]:
            yield "the example's subject is not its order"
        if example not in kept[-1:]:
            yield "the example is not the last one that is kept"
        for old in kept:
            yield from (f"an example that was given once breaks it: {said}" for said in self.violations(old, name))
        yield from (f"a new field breaks it: {said}" for said in self.violations(with_unknown_fields(example), name))
        # A schema that lets all through would pass until here. What was added later may lack: older events do.
        for kind, document in (("lacking", kept[0]), ("of another kind", example)) if kept else ():
            for path in _leaves(document):
                if not self.violations(_without(document, path, kind), name):
                    yield f"{'.'.join(map(str, path))} may be {kind}"


def published_events(module: ModuleType) -> list[type[Any]]:
    """The events that a service declares in its module domain/events.py: the classes with a `name`."""
    return [value for value in vars(module).values() if isinstance(value, type) and "name" in vars(value)]


def with_unknown_fields(value: Any) -> Any:
    """An event, with a field that nobody knows in each of its objects."""
    if isinstance(value, list):
        return [with_unknown_fields(element) for element in value]
    if not isinstance(value, dict):
        return value
    return {name: with_unknown_fields(inner) for name, inner in value.items()} | {"newfield": {"a": [1]}}


def read_examples(consumed: Mapping[str, type], name: str, contracts: Contracts) -> Iterator[tuple[Any, Received]]:
    """Every example that the producer ever gave, with unknown fields in it, and what the consumer reads in it. Fails if
    it can't be read, or if the envelope is not read as it was sent."""
    examples = contracts.kept_examples(name)
    assert examples, f"{contracts.folder} has forgotten all examples of {name}"
    for example in examples:
        [event] = Decoder(consumed).decode(orjson.dumps(with_unknown_fields(example)), SINGLE)
        assert isinstance(event, Received), event
        assert isinstance(event.data, consumed[name])
        sent = UUID(example["id"]), name, example["subject"], example["traceparent"]
        assert (event.id, event.type, event.order_id, event.traceparent) == sent
        yield example, event


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(path.read_bytes())
    return document


def _leaves(document: Any) -> Iterator[list[Any]]:
    """The path of every value in the document that is neither an object nor an array."""
    if not isinstance(document, dict | list):
        yield []
        return
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        for path in _leaves(value):
            yield [key, *path]


def _without(document: dict[str, Any], path: list[Any], kind: str) -> dict[str, Any]:
    """The document with one value lacking, or of another kind."""
    place = broken = deepcopy(document)
    for parent in path[:-1]:
        place = place[parent]
    if kind == "lacking":
        del place[path[-1]]
    else:
        place[path[-1]] = None
    return broken
