"""The OpenAPI document: every endpoint with its errors and examples, and nothing that a reader can't resolve."""

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import orjson
import pytest
from chassis.testing.text import places_that_refuse_unstorable_text
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships none

ENDPOINTS = {
    ("post", "/orders"): {"201", "400", "408", "413", "415", "422", "429", "503"},
    ("get", "/orders"): {"200", "422", "503"},
    ("get", "/orders/{order_id}"): {"200", "404", "422", "503"},
    ("delete", "/orders/{order_id}"): {"200", "404", "409", "422", "503"},
    ("get", "/orders/customer/{customer_id}"): {"200", "422", "503"},
    ("get", "/orders/{order_id}/timeline"): {"200", "404", "422", "503"},
    ("get", "/health"): {"200", "503"},
    ("get", "/health/live"): {"200", "503"},
    ("get", "/health/ready"): {"200", "503"},
}


@pytest.fixture
def document(main: ModuleType) -> dict[str, Any]:
    """As a reader gets it: through JSON."""
    loaded: dict[str, Any] = orjson.loads(orjson.dumps(main.app.openapi()))
    return loaded


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_endpoint_is_listed_with_all_that_it_answers(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    listed = {(method, path): set(operation["responses"]) for method, path, operation in operations(document)}
    assert listed == ENDPOINTS
    for _, path, operation in operations(document):
        assert operation["description"], path


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = re.findall(rb'"#/components/schemas/([^"]+)"', orjson.dumps(document))
    assert {reference.decode() for reference in references} == set(document["components"]["schemas"])


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400" and not path.startswith("/health"):
                assert list(response["content"]) == ["application/problem+json"], f"{method} {path} {status}"
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemDetails"}


def test_every_schema_is_one_and_its_example_fits_it(document: dict[str, Any]) -> None:
    examples = 0
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        if "example" in schema:
            examples += 1
            whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            errors = [error.message for error in Draft202012Validator(whole).iter_errors(schema["example"])]
            assert errors == [], name
    assert examples >= 3  # what is asked, what is answered, and the problem


async def test_no_text_is_taken_that_can_t_be_stored(client: httpx.AsyncClient) -> None:
    assert {
        "post /orders Idempotency-Key",
        "post /orders customer_id",
        "post /orders items.0.product_id",
        "post /orders items.0.price",
        "post /orders *",
        "get /orders/{order_id} order_id",
        "get /orders/customer/{customer_id} cursor",
    } <= await places_that_refuse_unstorable_text(client)
