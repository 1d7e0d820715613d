"""docs/openapi/, which `make contracts` makes and `make check` compares: good enough to make clients from."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships none

from operations.addresses import SERVICES
from system import ROOT

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(params=SERVICES)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "docs" / "openapi" / f"{request.param}.json").read_text())
    return loaded


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def bodies(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of what is sent and answered; of a list, that of its elements."""
    for carrier in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in carrier.get("content", {}).values():
            yield content["schema"].get("items", content["schema"])


def named(schema: dict[str, Any], document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = schema["$ref"].removeprefix("#/components/schemas/")
    return name, document["components"]["schemas"][name]


def test_every_operation_is_called_as_its_function_and_says_what_it_does(document: dict[str, Any]) -> None:
    names = Counter(operation["operationId"] for _, _, operation in operations(document))
    assert set(names.values()) == {1}
    for _, path, operation in operations(document):
        assert re.fullmatch("[a-z]+(_[a-z]+)*", operation["operationId"]), path
        assert operation["description"], path
        for parameter in operation.get("parameters", ()):
            assert parameter["in"] == "path" or parameter["description"], (path, parameter["name"])


def test_who_may_call_is_said_of_all_but_health(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        guarded = not path.startswith("/health")
        assert ("In production for: " in operation["description"]) is guarded, path
        assert (operation.get("security") == [{}, {"token": []}]) is guarded, path
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_every_error_is_a_problem_whose_slugs_are_named(document: dict[str, Any]) -> None:
    listed = set(re.findall(r"`([a-z-]+)`", (ROOT / "docs" / "errors.md").read_text()))
    for method, path, operation in operations(document):
        if path.startswith("/health"):
            continue
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"401", "403", "429", "503"} <= errors.keys(), f"{method} {path}"
        for status, answer in errors.items():
            assert answer["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
            }
            slugs = answer["description"].partition(": ")[2].split(", ")
            assert set(slugs) <= listed, f"{method} {path} {status}: {slugs} are not all in docs/errors.md"


def test_every_body_has_an_example_with_each_of_its_fields(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for body in bodies(operation):
            name, schema = named(body, document)
            if name == "Health":
                continue
            lacking = schema["properties"].keys() - schema["example"].keys() - {"errors"}
            assert not lacking, f"{method} {path}: {name}"
            whole = {**body, "components": document["components"]}
            assert [error.message for error in Draft202012Validator(whole).iter_errors(schema["example"])] == []


def test_every_field_says_what_it_is_and_a_status_which_there_are(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        for field, found in schema.get("properties", {}).items():
            assert found.get("description"), f"{name}.{field}"
            if field == "status" and name != "ProblemDetails":
                values = named(found, document)[1] if "$ref" in found else found
                assert "enum" in values or "const" in values, f"{name}.{field}"


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]) -> None:
    references = set(re.findall('"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references == document["components"]["schemas"].keys()
