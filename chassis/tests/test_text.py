"""A text that PostgreSQL can't store is refused with a 422, in whatever field of a body it stands."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import httpx
import pytest
from chassis.http.app import create_app
from chassis.http.requests import RequestModel, json_body, json_response, read_json
from chassis.testing.access import OPEN
from chassis.testing.text import places_that_refuse_unstorable_text
from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field

JSON = {"content-type": "application/json"}


class Address(RequestModel):
    street: str
    neighbours: "list[Address]" = Field([])


class Note(RequestModel):
    """Text in every form that a field may have, added without a thought of what can't be stored."""

    text: str
    optional: str | None = None
    several: list[str] = Field([])
    by_name: dict[str, str] = Field({})
    address: Address | None = None
    kind: Literal["a", "b"] = "a"
    short: Annotated[str, Field(min_length=1, max_length=20, pattern="^[^x]*$")] = "-"
    anything: Any = None
    number: float = 0


@asynccontextmanager
async def a_service(routes: APIRouter) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(service="s", version="1", summary="", routers=[routes], parts=[], checks={}, ready=(), guard=OPEN)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    routes = APIRouter()

    @routes.post("/notes", openapi_extra=json_body(Note))
    async def take(request: Request) -> Response:
        return json_response(await read_json(request, Note))

    async with a_service(routes) as client:
        yield client


async def test_every_place_of_a_body_that_takes_text_refuses_what_can_t_be_stored(client: httpx.AsyncClient) -> None:
    tried = await places_that_refuse_unstorable_text(client)
    places = {
        *("*", "text", "optional", "several.0", "by_name.*", "by_name.any", "kind", "short"),
        *("address.*", "address.street", "address.neighbours.0.*", "address.neighbours.0.street"),
        *("anything", "anything.0", "anything.*"),
    }
    deep = {name for name in tried if name.count("neighbours") > 1}
    assert tried - deep == {f"post /notes {place}" for place in places}
    assert deep


@pytest.mark.parametrize(
    "escape", ["\\u0000", "\\ud800", "\\uDBFF", "\\udc00", "\\uDFFF", "\\ude00\\uD83D", "\\ud83d \\ude00"]
)
async def test_an_escape_that_is_no_character_is_a_422(client: httpx.AsyncClient, escape: str) -> None:
    answer = await client.post("/notes", content=f'{{"text": "before {escape} after"}}', headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation-error")
    assert [error["path"] for error in answer.json()["errors"]] == ["text"]


async def test_all_places_are_named_at_once(client: httpx.AsyncClient) -> None:
    body = {"text": "\0", "several": ["ok", "\ud800"], "by_name": {"\udfff": "\0"}}
    answer = await client.post("/notes", content=json.dumps(body), headers=JSON)
    assert {error["path"] for error in answer.json()["errors"]} == {"text", "several.1", "by_name.\\udfff"}


@pytest.mark.parametrize(
    "text", ["\U0001f600", "\ud7ff\ue000\uffff", "\\u0000", "\\ud800", '\\"\x01\x7f', "grüße", "\U0010ffff" * 3]
)
@pytest.mark.parametrize("ascii_only", [True, False])
async def test_any_other_text_is_taken_as_it_is(client: httpx.AsyncClient, text: str, ascii_only: bool) -> None:
    body = json.dumps({"text": text, "by_name": {text: text}}, ensure_ascii=ascii_only)
    answer = await client.post("/notes", content=body.encode(), headers=JSON)
    assert answer.status_code == 200
    assert (answer.json()["text"], answer.json()["by_name"]) == (text, {text: text})


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "a\0b"}',
        b'{"text": "\xed\xa0\x80"}',
        b'{"text": "\xff"}',
        b'{"text": "\\u000"}',
        b'{"text": "\\ud800"',
        b'{"text": "\\u0000',
        b'{"text": "\\u0000", "anything": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    ],
)
async def test_what_is_not_json_at_all_stays_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/notes", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-json")


def _reads_the_body_another_way(routes: APIRouter) -> None:
    class Other(BaseModel):
        text: str = ""

    @routes.post("/others")
    async def take(body: Other) -> None: ...


def _has_text_in_the_path(routes: APIRouter) -> None:
    @routes.get("/notes/{name}")
    async def find(name: str) -> None: ...


def _has_text_in_the_query(routes: APIRouter) -> None:
    @routes.get("/notes")
    async def find(name: str = "") -> None: ...


def _has_text_in_a_header(routes: APIRouter) -> None:
    @routes.get("/notes")
    async def find(x_name: Annotated[str, Header()] = "") -> None: ...


@pytest.mark.parametrize(
    "careless", [_reads_the_body_another_way, _has_text_in_the_path, _has_text_in_the_query, _has_text_in_a_header]
)
async def test_a_place_that_takes_such_text_is_found(careless: Any) -> None:
    routes = APIRouter()
    careless(routes)
    async with a_service(routes) as client:
        with pytest.raises(AssertionError, match="200 for"):
            await places_that_refuse_unstorable_text(client)
