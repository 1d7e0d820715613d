"""The notifications resource over HTTP, with a channel that is a fake."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.http.app import create_app
from chassis.testing.access import OPEN
from chassis.testing.text import places_that_refuse_unstorable_text

from api import notifications
from application.send_notifications import SendNotifications
from infrastructure.recent_notifications import RecentNotifications
from tests.channel import FakeChannel

JSON = {"content-type": "application/json"}


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
async def client(channel: FakeChannel) -> AsyncIterator[httpx.AsyncClient]:
    recent = RecentNotifications()
    router = notifications.router(SendNotifications(channel, recent), recent)
    app = create_app(
        service="notification-service",
        version="1",
        summary="",
        routers=[router],
        parts=[],
        checks={},
        ready=(),
        guard=OPEN,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notifications") as connected:
        yield connected


def note(**changes: object) -> dict[str, Any]:
    return {"customer_id": str(uuid4()), "subject": "Your parcel", "message": "It arrives tomorrow."} | changes


def assert_problem(answer: httpx.Response, status: int, slug: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{slug}"


async def test_what_is_sent_is_answered_and_listed(client: httpx.AsyncClient, channel: FakeChannel) -> None:
    body = note()

    answer = await client.post("/notifications", json=body)

    assert answer.status_code == 201
    sent = answer.json()
    assert {name: sent[name] for name in body} == body
    assert (sent["channel"], sent["status"]) == ("fake", "sent")
    assert UUID(sent["id"]).version == 7
    assert sent["sent_at"].endswith("Z")
    assert channel.sent == [(UUID(body["customer_id"]), body["subject"], body["message"])]
    assert (await client.get("/notifications", params={"customer_id": body["customer_id"]})).json() == [sent]


@pytest.mark.parametrize(
    "changes",
    [{"subject": "x"}, {"subject": "x" * 200}, {"message": "x"}, {"message": "\u2603" * 10_000}],
)
async def test_what_is_within_bounds_is_sent_as_it_is(client: httpx.AsyncClient, changes: dict[str, str]) -> None:
    answer = await client.post("/notifications", json=note(**changes))

    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in changes} == changes


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"customer_id": "17"}, "customer_id"),
        ({"customer_id": None}, "customer_id"),
        ({"subject": ""}, "subject"),
        ({"subject": "x" * 201}, "subject"),
        ({"subject": 17}, "subject"),
        ({"message": ""}, "message"),
        ({"message": "x" * 10_001}, "message"),
        ({"channel": "fax"}, "channel"),
        ({"message": "before\x00after"}, "message"),
    ],
)
async def test_what_is_out_of_bounds_is_refused_by_name(
    client: httpx.AsyncClient, channel: FakeChannel, changes: dict[str, object], path: str
) -> None:
    answer = await client.post("/notifications", json=note(**changes))

    assert_problem(answer, 422, "validation-error")
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert channel.sent == []


@pytest.mark.parametrize("field", ["customer_id", "subject", "message"])
async def test_no_field_may_be_missing(client: httpx.AsyncClient, field: str) -> None:
    body = note()
    del body[field]

    answer = await client.post("/notifications", json=body)

    assert_problem(answer, 422, "validation-error")
    assert [error["path"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("content", "headers", "status", "slug"),
    [
        (b"{", JSON, 400, "malformed-json"),
        (b"", JSON, 400, "malformed-json"),
        (json.dumps(note(message="\ud800")).encode(), JSON, 422, "validation-error"),
        (b"[" * 50_000, JSON, 400, "malformed-json"),
        (b"null", JSON, 422, "validation-error"),
        (b"{}", {"content-type": "text/plain"}, 415, "unsupported-media-type"),
        (b"{}", {}, 415, "unsupported-media-type"),
        (b'{"message": "' + b"x" * 65_536 + b'"}', JSON, 413, "content-too-large"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_no_notification_is_a_problem(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, slug: str
) -> None:
    assert_problem(await client.post("/notifications", content=content, headers=headers), status, slug)


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (ConnectionError("mail.example: no line"), 503, "unavailable"),
        (ValueError("a secret"), 500, "internal-error"),
    ],
)
async def test_what_could_not_be_sent_is_not_listed(
    client: httpx.AsyncClient, channel: FakeChannel, error: Exception, status: int, slug: str
) -> None:
    channel.trouble = lambda sent: error

    answer = await client.post("/notifications", json=note())

    assert_problem(answer, status, slug)
    assert str(error) not in answer.text
    assert (await client.get("/notifications")).json() == []


async def test_pages_lead_to_every_notification_once_though_new_ones_come(client: httpx.AsyncClient) -> None:
    customer = str(uuid4())
    sent = [(await client.post("/notifications", json=note(customer_id=customer))).json() for _ in range(12)]
    await client.post("/notifications", json=note())

    listed, sizes = [], []
    url: str | None = f"/notifications?customer_id={customer}&limit=5"
    while url is not None:
        answer = await client.get(url)
        listed += answer.json()
        sizes.append(len(answer.json()))
        url = answer.links.get("next", {}).get("url")
        await client.post("/notifications", json=note(customer_id=customer))

    assert listed == sent[::-1]
    assert sizes == [5, 5, 2]


async def test_fifty_are_listed_unless_more_are_asked_for(client: httpx.AsyncClient) -> None:
    for _ in range(201):
        await client.post("/notifications", json=note())

    assert len((await client.get("/notifications")).json()) == 50
    assert len((await client.get("/notifications?limit=200")).json()) == 200


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=many", "cursor=here", "customer_id=17"])
async def test_a_list_that_can_not_be_asked_for_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/notifications?{query}")

    assert_problem(answer, 422, "validation-error")
    assert [error["path"] for error in answer.json()["errors"]] == [query.partition("=")[0]]


async def test_other_paths_and_methods_are_problems_too(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/notification"), 404, "not-found")
    assert_problem(await client.delete("/notifications"), 405, "method-not-allowed")


async def test_no_text_is_taken_that_can_t_be_stored(client: httpx.AsyncClient, channel: FakeChannel) -> None:
    assert {
        "post /notifications customer_id",
        "post /notifications subject",
        "post /notifications message",
        "post /notifications *",
        "get /notifications customer_id",
        "get /notifications cursor",
    } <= await places_that_refuse_unstorable_text(client)
    assert channel.sent == []
