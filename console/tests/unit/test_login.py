"""Who may see and do what on the page, where callers are checked, and with whose rights the services are asked."""

import asyncio
import gc
from types import ModuleType

import httpx
import pytest
from chassis.ports.identity import Role
from chassis.testing.access import ISSUER, FakeIssuer, load_in_production, who_gets_in
from chassis.testing.running import client_of

from tests.unit.test_api import FOLDER

READING: frozenset[Role] = frozenset({"staff", "auditor"})
ACTING: frozenset[Role] = frozenset({"staff"})


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture(scope="module")
def secured(issuer: FakeIssuer) -> ModuleType:
    return load_in_production(FOLDER, issuer, OIDC_CLIENT_ID="the-page", ORDER_SERVICE_URL="http://localhost:1")


async def test_each_route_lets_in_staff_and_to_look_auditors(
    secured: ModuleType, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stream.AT_MOST_SECONDS", 0.0)
    async with client_of(secured) as client:
        found = await who_gets_in(client, secured, issuer, anybody={"/", "/events", "/static/{path}", "/api/login"})
    gc.collect()  # aio-pika closes a connection that was never made when it is collected, which needs a running loop
    await asyncio.sleep(0)
    assert found == {
        "GET /stream": READING,
        "GET /api/caller": READING,
        "GET /api/orders": READING,
        "GET /api/orders/{order_id}": READING,
        "GET /api/stock": READING,
        "GET /api/dead-letters": READING,
        "POST /api/books": READING,
        "POST /api/orders": ACTING,
        "POST /api/orders/{order_id}/cancel": ACTING,
        "POST /api/stock": ACTING,
        "POST /api/stock/{product_id}/changes": ACTING,
        "POST /api/dead-letters": ACTING,
    }


async def test_what_is_not_there_in_production_is_not_found(secured: ModuleType, issuer: FakeIssuer) -> None:
    async with client_of(secured) as client:
        for path in ("/api/break", "/api/crowd"):
            assert (await client.post(path, json={}, headers=issuer.as_("staff"))).status_code == 404
        for path in ("/docs", "/openapi.json", "/health", "/metrics"):
            assert (await client.get(path, headers=issuer.as_("staff"))).status_code == 404


async def test_anybody_gets_the_page_and_is_told_where_to_sign_in(secured: ModuleType) -> None:
    async with client_of(secured) as client:
        for path in ("/", "/events", "/static/main.js", "/api/login"):
            assert (await client.get(path)).status_code == 200, path
        told = await client.get("/api/login")
        assert told.json() == {"issuer": ISSUER, "client_id": "the-page"}
        assert told.headers["content-security-policy"].endswith(f"; connect-src 'self' {ISSUER}")
        for path in ("/static/", "/static/nothing.js", "/static/%2e%2e/main.py", "/static//etc/passwd"):
            assert (await client.get(path)).status_code == 404, path


async def test_who_is_signed_in_is_told_so(secured: ModuleType, issuer: FakeIssuer) -> None:
    async with client_of(secured) as client:
        told = await client.get("/api/caller", headers=issuer.as_("staff", "auditor", sub="clerk"))
        assert told.json() == {"name": "clerk", "roles": ["auditor", "staff"]}
        other = FakeIssuer().as_("staff", sub="clerk")
        assert (await client.get("/api/caller", headers=other)).status_code == 401


async def test_services_are_asked_with_the_caller_s_own_token(
    secured: ModuleType, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str | None] = []

    def note(request: httpx.Request) -> httpx.Response:
        given.append(request.headers.get("authorization"))
        return httpx.Response(200, json=[])

    asking = httpx.AsyncClient(transport=httpx.MockTransport(note))
    monkeypatch.setattr(secured.services, "_client", asking)
    people = [issuer.as_("auditor", sub="a"), issuer.as_("staff", sub="b")]
    async with client_of(secured) as client, asking:
        for headers in people:
            assert (await client.get("/api/orders", headers=headers)).status_code == 200
        assert (await client.get("/api/stock", headers=people[0])).status_code == 200
    assert given == [headers["authorization"] for headers in (*people, people[0])]
