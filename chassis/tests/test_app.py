"""What every service's HTTP side does: problems, traces, health, metrics."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated

import httpx
import pytest
from chassis.http import app as app_module
from chassis.http import requests
from chassis.http.app import create_app
from chassis.http.problems import documented
from chassis.http.requests import JsonNumber, RequestModel, json_body, json_response, read_json
from chassis.ports.errors import Unavailable
from chassis.ports.tracing import trace_id, unsampled
from chassis.testing.access import OPEN
from fastapi import APIRouter, Request, Response
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel, Field
from tests.recording import Recording, named_in, place

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class DomainError(Exception):
    slug = "not-today"


class TooMany(Exception):
    slug = "too-many"


class Price(RequestModel):
    price: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]


class Priced(BaseModel):
    price: JsonNumber


inside, gate = asyncio.Semaphore(0), asyncio.Event()
problems: dict[str, str | None] = {"database": None, "broker": None, "consumer": None}


def _check(name: str) -> object:
    async def check() -> str | None:
        return problems[name]

    return check


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    routes = APIRouter()

    @routes.get("/boom/{what}")
    async def boom(what: str) -> None:
        raise {
            "domain": DomainError("Not today."),
            "many": TooMany("Not so many."),
            "away": Unavailable("gone"),
            "bug": RuntimeError("SELECT secret"),
        }[what]

    @routes.get("/trace")
    async def traceparent(request: Request) -> Response:
        return Response(request.state.traceparent)

    @routes.get("/gate")
    async def wait() -> None:
        inside.release()
        await gate.wait()

    @routes.post("/prices", responses=documented(400, 429), response_model=Priced, openapi_extra=json_body(Price))
    async def prices(request: Request) -> Response:
        return json_response(Priced(price=(await read_json(request, Price)).price))

    app = create_app(
        service="test-service",
        version="1.2.3",
        summary="",
        routers=[routes],
        parts=[],
        checks={name: _check(name) for name in problems},  # type: ignore[misc]
        ready=("database",),
        errors={DomainError: 409, TooMany: 429},
        guard=OPEN,
    )
    for name in problems:
        problems[name] = None
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/boom/domain", 409, "not-today"),
        ("/boom/many", 429, "too-many"),
        ("/boom/away", 503, "unavailable"),
        ("/boom/bug", 500, "internal-error"),
        ("/nowhere", 404, "not-found"),
        ("/prices", 405, "method-not-allowed"),
    ],
)
async def test_every_error_is_a_problem_with_the_trace_of_its_request(
    client: httpx.AsyncClient, path: str, status: int, slug: str
) -> None:
    answer = await client.get(path, headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["instance"] == path
    assert body["trace_id"] == TRACE_ID
    assert "SELECT" not in answer.text
    assert answer.headers.get("retry-after") == ("2" if status in (429, 503) else None)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "slug"),
    [
        (b"{", "application/json", 400, "malformed-json"),
        (b'{"price": "\xff"}', "application/json", 400, "malformed-json"),
        (b"[" * 20_000, "application/json", 400, "malformed-json"),
        (b"{}", "text/plain", 415, "unsupported-media-type"),
        (b"{}", None, 415, "unsupported-media-type"),
        (b'{"price": "' + b"1" * 70_000 + b'"}', "application/json", 413, "content-too-large"),
        (b"{}", "application/json", 422, "validation-error"),
        (b'{"price": 1e400}', "application/json", 422, "validation-error"),
        (b'{"price": NaN}', "application/json", 422, "validation-error"),
        (b'{"price": 1.001}', "application/json", 422, "validation-error"),
        (b'{"price": 19.990000000000000001}', "application/json", 422, "validation-error"),
        (b'{"price": 1, "tip": 2}', "application/json", 422, "validation-error"),
        (b'{"\\u0000": 1, "price": 2}', "application/json", 422, "validation-error"),
    ],
)
async def test_a_body_that_is_not_what_was_asked_for_is_refused_with_the_reason(
    client: httpx.AsyncClient, body: bytes, content_type: str | None, status: int, slug: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await client.post("/prices", content=body, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert ("errors" in answer.json()) == (status == 422)


@pytest.mark.parametrize(
    "price", ["9999999999.99", "0.07", "19.9", "1", '"12.34"', "19.99000000000000000", "0.01999e3"]
)
async def test_money_comes_back_as_the_number_that_was_sent(client: httpx.AsyncClient, price: str) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post("/prices", content=f'{{"price": {price}}}', headers=headers)
    assert Decimal(str(answer.json()["price"])) == Decimal(price.strip('"'))
    assert '"price":"' not in answer.text


@pytest.mark.parametrize("header", ["", "00-zz-1-01", f"00-{'0' * 32}-00f067aa0ba902b7-01", "01-x", "ü"])
async def test_a_request_without_a_valid_trace_gets_one(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.get("/nowhere", headers=[(b"traceparent", header.encode("latin-1"))])
    assert len(answer.json()["trace_id"]) == 32
    assert answer.json()["trace_id"] != "0" * 32


async def test_health_names_what_fails_and_readiness_only_what_requests_need(client: httpx.AsyncClient) -> None:
    healthy = await client.get("/health")
    assert healthy.status_code == 200
    assert healthy.json()["checks"] == {name: {"status": "ok"} for name in problems}
    problems["broker"] = "gone"
    failing = await client.get("/health")
    assert failing.status_code == 503
    assert failing.json()["checks"]["broker"] == {"status": "failing", "detail": "gone"}
    assert (failing.json()["service"], failing.json()["version"]) == ("test-service", "1.2.3")
    assert (await client.get("/health/ready")).status_code == 200
    problems["database"] = "gone"
    assert (await client.get("/health/ready")).status_code == 503
    assert (await client.get("/health/live")).status_code == 200


async def test_liveness_is_red_only_for_a_consumer_that_stays_away_from_a_broker_that_is_there(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.http.health.RESTART_AFTER_SECONDS", 0)
    problems["consumer"] = problems["broker"] = "gone"
    assert (await client.get("/health/live")).status_code == 200
    problems["broker"] = None
    assert (await client.get("/health/live")).status_code == 503
    problems["consumer"] = None
    assert (await client.get("/health/live")).status_code == 200


async def test_a_body_that_comes_too_slowly_is_not_waited_for(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BODY_WITHIN_SECONDS", 0.01)

    async def body() -> AsyncIterator[bytes]:
        yield b'{"price": '
        await asyncio.Event().wait()

    answer = await client.post("/prices", content=body(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (408, "/problems/request-timeout")


async def test_too_many_requests_at_once_are_refused_but_health_is_told(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "MAX_REQUESTS_IN_HAND", 2)
    waiting = [asyncio.create_task(client.get("/gate")) for _ in range(2)]
    for _ in waiting:
        await inside.acquire()
    refusal = await client.get("/gate")
    told = [(await client.get(path)).status_code for path in ("/health/live", "/metrics")]
    gate.set()
    assert (refusal.status_code, refusal.json()["type"]) == (503, "/problems/unavailable")
    assert int(refusal.headers["retry-after"]) > 0
    assert told == [200, 200]
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
    assert (await client.get("/gate")).status_code == 200, "what ended is no longer in hand"


async def test_requests_are_counted_by_the_template_of_their_route(client: httpx.AsyncClient) -> None:
    await client.get("/boom/domain")
    metrics = (await client.get("/metrics")).text
    assert 'http_request_duration_seconds_count{method="GET",route="/boom/{what}",status="409"}' in metrics
    assert 'route="/boom/domain"' not in metrics


@pytest.mark.parametrize(
    "path", ["/boom/domain", "/boom/away", "/boom/bug", "/nowhere", "/health", "/metrics", "/docs"]
)
async def test_no_cache_keeps_an_answer(path: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(path)
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


async def test_the_openapi_document_shows_the_bodies_and_the_problems(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/prices"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Price"}
    assert {"400", "429", "503"} <= operation["responses"].keys()
    assert {status for status, answer in operation["responses"].items() if "headers" in answer} == {"429", "503"}
    assert {"Price", "ProblemDetails"} <= document["components"]["schemas"].keys()


async def test_a_sampled_request_has_a_span_that_names_its_route_and_nobody(
    client: httpx.AsyncClient, recording: Recording
) -> None:
    caller = f"00-{TRACE_ID}-00f067aa0ba902b7-00"
    await client.get("/boom/domain", headers={"traceparent": caller})
    await client.get("/boom/bug")
    await client.request("WHATEVER", "/nowhere/ann@shop.test")
    await client.get("/health/live")
    refused, failed, unknown = recording.spans()
    assert (refused.name, refused.kind, place(refused.parent)) == (
        "GET /boom/{what}",
        SpanKind.SERVER,
        named_in(caller),
    )
    assert dict(refused.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/boom/{what}",
        "http.response.status_code": 409,
    }
    assert (failed.parent, failed.status.status_code, (failed.attributes or {})["error.type"]) == (
        None,
        StatusCode.ERROR,
        "500",
    )
    assert (unknown.name, dict(unknown.attributes or {})) == ("HTTP", {"http.response.status_code": 404})


@pytest.mark.parametrize("flags", ["00", "01"])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
async def test_what_the_service_decides_counts_and_not_the_caller_s_flag(
    client: httpx.AsyncClient, recording: Recording, ratio: float, flags: str
) -> None:
    recording.sample(ratio)
    caller = f"00-{TRACE_ID}-00f067aa0ba902b7-{flags}"
    seen = (await client.get("/trace", headers={"traceparent": caller})).text
    if ratio:
        [span] = recording.spans()
        assert (named_in(seen), seen[-2:]) == (place(span), "01")
    else:
        assert (seen, recording.spans()) == (unsampled(caller), [])
    assert trace_id(seen) == TRACE_ID


async def test_an_order_without_a_recorder_is_never_sampled(client: httpx.AsyncClient) -> None:
    given = (await client.get("/trace", headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"})).text
    assert given == f"00-{TRACE_ID}-00f067aa0ba902b7-00"
    assert (await client.get("/trace")).text.endswith("-00")


async def test_a_service_that_stops_exports_the_spans_that_are_left(recording: Recording) -> None:
    app = create_app(
        service="test-service", version="1", summary="", routers=[], parts=[], checks={}, ready=(), guard=OPEN
    )
    async with app.router.lifespan_context(app):
        recording.transaction("work", 0, [f"00-{TRACE_ID}-00f067aa0ba902b7-01"], None)
        assert recording.memory.get_finished_spans() == ()
    assert len(recording.memory.get_finished_spans()) == 1
