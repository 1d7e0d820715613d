"""Requests with a text that can't be stored in each place where a service takes one, found in its OpenAPI document: a
field or a parameter that is added is tried as well, without anybody thinking of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

NUL, LONE_SURROGATE = "a\0b", "a\ud800b"
_AN_ID = "9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01"
_DEEPEST = 8
"""Levels of a schema that refers to itself."""

Schema = Mapping[str, Any]


async def places_that_refuse_unstorable_text(client: httpx.AsyncClient) -> set[str]:
    """Tries every place, and fails unless the answer is a 422 that names it; returns the places that were tried."""
    document = (await client.get("/openapi.json")).json()
    tried: set[str] = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                answer = await _with_parameter(client, method, path, parameter)
                _assert_refused(answer, parameter["name"] if parameter["in"] != "header" else None)
                tried.add(f"{method} {path} {parameter['name']}")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for text in (NUL, LONE_SURROGATE) if body else ():
                for place, content in _bodies(body["schema"], document, text):
                    headers = {"content-type": "application/json", **_required_headers(operation)}
                    answer = await client.request(method, _filled(path), content=json.dumps(content), headers=headers)
                    _assert_refused(answer, _shown(place) or "body")
                    tried.add(f"{method} {path} {place.replace(text, '*')}")
    return tried


def _required_headers(operation: Schema) -> dict[str, str]:
    parameters = operation.get("parameters", ())
    return {each["name"]: _AN_ID for each in parameters if each["in"] == "header" and each.get("required")}


def _assert_refused(answer: httpx.Response, place: str | None) -> None:
    request = f"{answer.request.method} {answer.request.url} {answer.request.content!r}"
    assert answer.status_code == 422, f"{answer.status_code} for {place!r} of {request}"
    if place is not None:
        assert place in {error["path"] for error in answer.json()["errors"]}, f"{place!r} isn't named: {request}"


async def _with_parameter(client: httpx.AsyncClient, method: str, path: str, parameter: Schema) -> httpx.Response:
    name, text = parameter["name"], quote(NUL)
    match parameter["in"]:
        case "path":
            return await client.request(method, _filled(path.replace(f"{{{name}}}", text)))
        case "query":
            return await client.request(method, f"{_filled(path)}?{name}={text}")
        case place:
            assert place == "header", f"a parameter in {place} is not tried yet"
            return await client.request(method, _filled(path), headers={name.encode(): NUL.encode()})


def _filled(path: str) -> str:
    return "/".join(_AN_ID if part.startswith("{") else part for part in path.split("/"))


def _shown(place: str) -> str:
    return place.encode(errors="backslashreplace").decode()


def _bodies(schema: Schema, document: Schema, text: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Values that have the text in one place where the schema knows a string, and where each of them has it."""

    def within(name: str, inner: Any, wrap: Any) -> Iterator[tuple[str, Any]]:
        schema = inner if isinstance(inner, dict) else {}
        for place, value in _bodies(schema, document, text, depth + 1):
            yield f"{name}.{place}" if place else name, wrap(value)

    if depth > _DEEPEST:
        return
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _bodies(document["components"]["schemas"][name], document, text, depth)
        return
    for kind in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(kind, ()):
            yield from _bodies(branch, document, text, depth)
    untyped = not schema.keys() & {"type", "anyOf", "oneOf", "allOf", "enum", "const"}
    types = schema.get("type", ["string"] if schema.keys() & {"enum", "const"} else [])
    types = [types] if isinstance(types, str) else types
    if "string" in types or untyped:
        yield "", text
    if "array" in types or untyped:
        yield from within("0", schema.get("items", {"type": "string"}), lambda value: [value])
    if "object" in types or untyped:
        yield text, {text: "a key"}
        for name, inner in schema.get("properties", {}).items():
            yield from within(name, inner, lambda value, name=name: {name: value})
        if schema.get("additionalProperties"):
            yield from within("any", schema["additionalProperties"], lambda value: {"any": value})
