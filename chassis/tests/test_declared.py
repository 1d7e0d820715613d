"""Contract files follow from the declaration of an event; an example that was ever given stays as it was."""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pytest
from chassis.testing.contracts import Contracts
from chassis.testing.declared import example, files, schema

ORDER = "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001"
Id = Annotated[UUID, {"description": "The order.", "examples": [ORDER]}]


@dataclass(frozen=True, slots=True)
class Part:
    number: Annotated[int, {"minimum": 1}]
    price: Decimal


@dataclass(frozen=True, slots=True)
class Packed:
    """A parcel was packed."""

    name: ClassVar[str] = "ParcelPacked"

    order_id: Id
    parts: Annotated[tuple[Part, ...], {"minItems": 1, "examples": [[{"number": 2, "price": 1.5}]]}]
    at: Annotated[datetime, {"examples": ["2026-11-24T12:00:00Z"]}]
    fragile: Annotated[bool, {"examples": [True]}]


@dataclass(frozen=True, slots=True)
class PackedWithNote:
    """A parcel was packed."""

    name: ClassVar[str] = "ParcelPacked"

    order_id: Id
    parts: Annotated[tuple[Part, ...], {"minItems": 1, "examples": [[{"number": 2, "price": 1.5}]]}]
    at: Annotated[datetime, {"examples": ["2026-11-24T12:00:00Z"]}]
    fragile: Annotated[bool, {"examples": [True]}]
    note: Annotated[str | None, {"maxLength": 20, "examples": ["Mind the cat."]}] = None


@dataclass(frozen=True, slots=True)
class Unexampled:
    """Nobody knows what it looks like."""

    name: ClassVar[str] = "Unexampled"

    order_id: UUID


def write(folder: Path, event: type[Any], today: str = "2026-11-24") -> list[str]:
    """The files that are written, by their names."""
    written = []
    for path, content in list(files(event, "parcel-service", folder, today)):
        text = json.dumps(content)
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            written.append(path.name)
    return written


def test_the_files_of_an_event_are_its_contract(tmp_path: Path) -> None:
    names = ["ParcelPacked.schema.json", "ParcelPacked.example.json", "ParcelPacked.2026-11-24.example.json"]
    assert write(tmp_path, Packed) == names
    assert Contracts(tmp_path).problems([Packed]) == []


def test_each_field_has_the_schema_of_its_type_and_what_its_annotation_says() -> None:
    data = schema(Packed, "parcel-service")["properties"]["data"]
    assert data["required"] == ["order_id", "parts", "at", "fragile"]
    assert data["properties"]["order_id"] == {
        "type": "string",
        "format": "uuid",
        "description": "The order.",
        "examples": [ORDER],
    }
    assert data["properties"]["parts"]["minItems"] == 1
    assert data["properties"]["parts"]["items"] == {
        "type": "object",
        "required": ["number", "price"],
        "additionalProperties": True,
        "properties": {"number": {"type": "integer", "minimum": 1}, "price": {"type": "number"}},
    }
    assert data["properties"]["at"]["format"] == "date-time"
    assert data["properties"]["fragile"]["type"] == "boolean"


def test_what_is_declared_already_is_written_once(tmp_path: Path) -> None:
    write(tmp_path, Packed)
    assert write(tmp_path, Packed, today="2026-12-01") == []


def test_a_field_that_is_added_may_be_absent_and_old_examples_stay_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, Packed)
    old = (tmp_path / "history" / "ParcelPacked.2026-11-24.example.json").read_text()

    names = ["ParcelPacked.schema.json", "ParcelPacked.example.json", "ParcelPacked.2026-12-01.example.json"]
    assert write(tmp_path, PackedWithNote, today="2026-12-01") == names

    contracts = Contracts(tmp_path)
    assert (tmp_path / "history" / "ParcelPacked.2026-11-24.example.json").read_text() == old
    assert "note" not in contracts.schema("ParcelPacked")["properties"]["data"]["required"]
    assert contracts.example("ParcelPacked")["data"]["note"] == "Mind the cat."
    assert contracts.problems([PackedWithNote]) == []


def test_a_field_without_an_example_is_named() -> None:
    with pytest.raises(LookupError, match=r"Unexampled\.order_id has no `examples`"):
        example(Unexampled)
