"""What is found wrong with a contract: each of these would break somebody who reads the event."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from chassis.messaging.envelope import encode
from chassis.testing.contracts import Contracts
from tests.note_service import SERVICE, TRACE, NoteTaken

Documents = dict[str, Any]


def documents() -> Documents:
    """A contract that is in order, file by file."""
    example = orjson.loads(
        encode(
            SERVICE,
            NoteTaken(UUID(int=1)),
            event_id=UUID(int=2),
            time=datetime(2026, 1, 2, tzinfo=UTC),
            traceparent=TRACE,
        ).body
    )
    strings = {name: {"type": "string"} for name in example if name != "data"}
    data = {
        "type": "object",
        "required": ["order_id"],
        "properties": {"order_id": {"type": "string", "format": "uuid"}},
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:order-processing:event:NoteTaken:1",
        "type": "object",
        "required": list(example),
        "properties": strings | {"data": data, "time": {"type": "string", "format": "date-time"}},
    }
    return {"NoteTaken.schema": schema, "NoteTaken.example": example, "history/NoteTaken.2026-01-02.example": example}


def problems(folder: Path, contract: Documents) -> list[str]:
    (folder / "history").mkdir()
    for name, document in contract.items():
        (folder / f"{name}.json").write_bytes(orjson.dumps(document))
    return Contracts(folder).problems([NoteTaken])


def test_a_contract_in_order_has_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, documents()) == []


def _edit(path: str, value: object) -> Callable[[Documents], None]:
    """Sets what stands at the path, `file > key > ...`; None deletes it."""

    def edit(contract: Documents) -> None:
        *parents, last = path.split(" > ")
        place = contract
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return edit


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("NoteTaken.example", None, "NoteTaken.example.json is there or published, but not both"),
        ("Other.schema", {}, "Other.schema.json is there or published, but not both"),
        ("NoteTaken.schema > type", "thing", "its schema is none"),
        ("NoteTaken.schema > $id", "urn:order-processing:event:NoteTaken:2", "the schema's $id is not the dataschema"),
        (
            "NoteTaken.schema > properties > data > properties > more",
            {},
            "the schema tells of other fields than are sent",
        ),
        ("NoteTaken.example > traceparent", None, "the example does not show each field"),
        ("NoteTaken.example > source", "order-service", "readers take it from note-service alone"),
        ("NoteTaken.example > subject", "order-2", "the example's subject is not its order"),
        ("history/NoteTaken.2026-01-02.example", None, "the example is not the last one that is kept"),
        ("history/NoteTaken.2026-01-01.example", {"data": {}}, "an example that was given once breaks it"),
        ("NoteTaken.schema > properties > time > format", "uuid", "an example that was given once breaks it"),
        (
            "NoteTaken.schema > additionalProperties",
            False,
            "a new field breaks it: $: Additional properties are not allowed",
        ),
        (
            "NoteTaken.schema > properties > data > additionalProperties",
            False,
            "a new field breaks it: $.data: Additional",
        ),
        ("NoteTaken.schema > required", ["data"], "id may be lacking"),
        ("NoteTaken.schema > properties > data > required", [], "data.order_id may be lacking"),
        ("NoteTaken.schema > properties > source", {}, "source may be of another kind"),
    ],
)
def test_each_mistake_is_found(tmp_path: Path, path: str, value: object, problem: str) -> None:
    contract = orjson.loads(orjson.dumps(documents()))
    _edit(path, value)(contract)
    assert any(problem in found for found in problems(tmp_path, contract))
