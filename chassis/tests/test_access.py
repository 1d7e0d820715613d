"""Who is let in: with tokens in production, and from this machine only in development."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping

import httpx
import pytest
from chassis.http import access, problems
from chassis.http.access import Guard, LocalOnly, TokensRequired, allows, caller
from chassis.http.allowance import AT_ONCE_SECONDS, REQUESTS_A_SECOND
from chassis.http.app import create_app
from chassis.http.problems import Problem
from chassis.http.requests import BareRoute
from chassis.http.tokens import Issuer
from chassis.ports.identity import Trust
from chassis.testing import eventually
from chassis.testing.access import AUDIENCE, ISSUER, FakeIssuer
from fastapi import APIRouter, FastAPI, Request, Response
from structlog.testing import CapturingLogger


def an_app(guard: Guard) -> FastAPI:
    routes = APIRouter()

    @routes.get("/names")
    @allows("staff", "auditor")
    async def names(request: Request) -> Response:
        return Response(caller(request).name)

    @allows("customer")
    async def bare(request: Request) -> Response:
        return Response(str(caller(request).customer_id))

    routes.add_api_route("/bare", bare, methods=["POST"], route_class_override=BareRoute)

    @routes.get("/another-s")
    @allows("staff")
    async def another_s() -> Response:
        raise Problem(404, "not-found", "There is no such thing.")

    @routes.get("/forgotten")
    async def forgotten() -> Response:
        return Response("a secret")

    return create_app(
        service="s", version="1", summary="", routers=[routes], parts=[], checks={}, ready=(), guard=guard
    )


@pytest.fixture
def there() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
async def client(there: FakeIssuer) -> AsyncIterator[httpx.AsyncClient]:
    issuer = Issuer(Trust(oidc_issuer=ISSUER, oidc_audience=AUDIENCE), there.client)
    guard = Guard(
        "tokens", TokensRequired(issuer).admit, checks={"issuer": issuer.problem}, internal_address="127.0.0.1:0"
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(an_app(guard)), base_url="http://test") as connected:
        yield connected


@pytest.mark.parametrize(
    ("headers", "status", "challenge"),
    [
        ([], 401, "Bearer"),
        ([("authorization", "Basic YTpi")], 401, 'Bearer error="invalid_request"'),
        ([("authorization", "Bearer")], 401, 'Bearer error="invalid_request"'),
        ([("authorization", "Bearer x.y.z")], 401, 'Bearer error="invalid_token"'),
        ([("authorization", "Bearer GOOD"), ("authorization", "Bearer GOOD")], 401, 'Bearer error="invalid_request"'),
        ([("authorization", "bEARER  GOOD")], 200, None),
    ],
)
async def test_a_request_needs_one_good_token(
    client: httpx.AsyncClient, there: FakeIssuer, headers: list[tuple[str, str]], status: int, challenge: str | None
) -> None:
    token = there.token("staff", sub="me")
    answer = await client.get("/names", headers=[(name, value.replace("GOOD", token)) for name, value in headers])
    assert answer.status_code == status
    if challenge:
        assert answer.json()["type"] == "/problems/unauthenticated"
        assert answer.headers["www-authenticate"].startswith(challenge)
    else:
        assert answer.text == f"{ISSUER} me"


@pytest.mark.parametrize(
    ("method", "path", "roles", "status"),
    [
        ("GET", "/names", ["auditor"], 200),
        ("GET", "/names", ["customer", "auditor"], 200),
        ("GET", "/names", ["customer"], 403),
        ("GET", "/names", [], 403),
        ("POST", "/bare", ["customer"], 200),
        ("POST", "/bare", ["staff"], 403),
        ("GET", "/forgotten", ["customer", "staff", "auditor", "service"], 403),
    ],
)
async def test_a_route_is_for_the_roles_that_it_names_and_else_for_nobody(
    client: httpx.AsyncClient, there: FakeIssuer, method: str, path: str, roles: list[str], status: int
) -> None:
    answer = await client.request(method, path, headers=there.as_(*roles))
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["type"] == "/problems/forbidden"
    assert (await client.request(method, path)).status_code == 401


async def test_a_customer_who_sends_too_much_has_to_wait_and_nobody_else(
    client: httpx.AsyncClient, there: FakeIssuer
) -> None:
    greedy, answers = there.as_("customer", sub="greedy"), []
    for _ in range(AT_ONCE_SECONDS * REQUESTS_A_SECOND * 2):
        answers.append(await client.post("/bare", headers=greedy))
        if answers[-1].status_code != 200:
            break
    assert len(answers) > AT_ONCE_SECONDS * REQUESTS_A_SECOND
    assert (answers[-1].status_code, answers[-1].json()["type"]) == (429, "/problems/too-many-requests")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await client.post("/bare", headers=there.as_("customer", sub="modest"))).status_code == 200
    for _ in answers:
        assert (await client.get("/names", headers=there.as_("staff", sub="greedy"))).status_code == 200


async def test_who_was_refused_what_is_in_the_log_and_no_token(
    client: httpx.AsyncClient, there: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(access, "log", log)
    known, unknown = there.token("customer", sub="me"), there.token("customer", sub="me", aud="another")
    for token in (known, unknown):
        await client.get("/names", headers={"authorization": f"Bearer {token}"})
    assert [(call.kwargs["caller"], call.kwargs["route"]) for call in log.calls] == [
        (f"{ISSUER} me", "/names"),
        (None, "/names"),
    ]
    assert known not in str(log.calls)
    assert unknown not in str(log.calls)


async def test_a_known_caller_who_finds_nothing_is_in_the_log_and_a_stranger_s_guesses_are_not(
    client: httpx.AsyncClient, there: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(problems, "log", log)
    await client.get("/nowhere")
    await client.get("/names", headers=there.as_("staff"))
    assert (await client.get("/another-s", headers=there.as_("staff", sub="me"))).status_code == 404
    [call] = log.calls
    assert (call.kwargs["caller"], call.kwargs["status"], call.kwargs["path"]) == (f"{ISSUER} me", 404, "/another-s")


async def test_what_is_not_there_needs_no_token_and_neither_health_nor_documents_are(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/health", "/health/ready", "/metrics", "/docs", "/redoc", "/openapi.json"):
        assert (await client.get(path)).status_code == 404
    assert (await client.post("/names")).status_code == 405


async def test_without_the_issuer_s_keys_nobody_is_refused_for_good(
    client: httpx.AsyncClient, there: FakeIssuer
) -> None:
    there.away = True
    answer = await client.get("/names", headers=there.as_("staff"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_health_and_metrics_have_an_address_of_their_own_and_say_whether_callers_can_be_checked(
    there: FakeIssuer, unused_tcp_port: int
) -> None:
    issuer = Issuer(Trust(oidc_issuer=ISSUER, oidc_audience=AUDIENCE), there.client)
    address = f"127.0.0.1:{unused_tcp_port}"
    guard = Guard("tokens", TokensRequired(issuer).admit, checks={"issuer": issuer.problem}, internal_address=address)
    app = an_app(guard)
    async with app.router.lifespan_context(app), httpx.AsyncClient(base_url=f"http://{address}") as inside:
        for path in ("/health", "/health/ready"):
            unwell = await inside.get(path)
            assert unwell.status_code == 503
            assert unwell.json()["checks"]["issuer"]["status"] == "failing"
        await issuer.renew()
        well = await inside.get("/health/ready")
        assert (well.status_code, well.json()["access"]) == (200, "tokens")
        assert "http_request_duration_seconds" in (await inside.get("/metrics")).text
        assert (await inside.get("/names")).status_code == 404
        assert "server" not in well.headers
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as after:
            await after.get(f"http://{address}/health")


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


# --- development -----------------------------------------------------------------------------------------------------


async def status_of(
    headers: Mapping[str, str], *, address: str = "127.0.0.1", published: bool = False
) -> tuple[int, str]:
    app = an_app(Guard("development", LocalOnly(published=published).admit))
    url = f"http://[{address}]" if ":" in address else f"http://{address}"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url) as client:
        answer = await client.get("/forgotten", headers=headers)
    return answer.status_code, answer.json()["type"] if answer.status_code != 200 else ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:8001"},
        {"host": "127.0.0.1:8001"},
        {"host": "[::1]:8001"},
        {"host": "order-service:8001"},
        {"host": "shop.localhost"},
        {"host": "192.168.1.7"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://shop.localhost"},
        {"origin": "http://127.0.0.1:8001"},
        {"origin": "http://[::1]:8001"},
    ],
)
async def test_in_development_this_machine_s_own_names_are_answered(headers: Mapping[str, str]) -> None:
    assert await status_of(headers) == (200, "")


@pytest.mark.parametrize(
    ("headers", "slug"),
    [
        ({"host": "evil.example"}, "foreign-host"),
        ({"host": "evil.example:8001"}, "foreign-host"),
        ({"host": "localhost.evil.example"}, "foreign-host"),
        ({"host": "127.0.0.1.evil.example"}, "foreign-host"),
        ({"host": "user@evil.example"}, "foreign-host"),
        ({"host": "[evil"}, "foreign-host"),
        ({"origin": "https://evil.example"}, "foreign-origin"),
        ({"origin": "null"}, "foreign-origin"),
        ({"origin": "http://203.0.113.5"}, "foreign-origin"),
        ({"origin": "http://evil"}, "foreign-origin"),
        ({"origin": "http://[evil"}, "foreign-origin"),
        ({"host": "localhost", "origin": "http://localhost.evil.example"}, "foreign-origin"),
    ],
)
async def test_in_development_a_foreign_page_is_refused(headers: Mapping[str, str], slug: str) -> None:
    assert await status_of(headers) == (403, f"/problems/{slug}")


@pytest.mark.parametrize(
    ("address", "published", "status"),
    [
        ("127.0.0.1", False, 200),
        ("127.8.9.1", False, 200),
        ("::1", False, 200),
        ("::ffff:127.0.0.1", False, 200),
        ("192.168.1.7", False, 403),
        ("::ffff:10.0.0.1", False, 403),
        ("172.17.0.2", True, 200),
    ],
)
async def test_in_development_requests_must_come_over_loopback_unless_docker_publishes_the_port(
    address: str, published: bool, status: int
) -> None:
    assert (await status_of({"host": "localhost"}, address=address, published=published))[0] == status


async def test_in_development_whom_a_proxy_on_this_machine_brings_from_elsewhere_is_refused() -> None:
    app = an_app(Guard("development", LocalOnly(published=False).admit))
    for client, status in ((("192.168.1.7", 1), 403), (("127.0.0.1", 1), 200)):
        transport = httpx.ASGITransport(app, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as connected:
            assert (await connected.get("/forgotten")).status_code == status


@pytest.fixture
def ends() -> Iterator[asyncio.Event]:
    ended = asyncio.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    yield ended
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("address", "published", "ending"), [("0.0.0.0", False, True), ("0.0.0.0", True, False)])  # noqa: S104 (that is what is refused)
async def test_in_development_a_service_that_listens_to_others_ends(
    address: str, published: bool, ending: bool, ends: asyncio.Event
) -> None:
    local = LocalOnly(published=published)
    await local.start()
    with socket.create_server((address, 0)):
        if ending:
            await eventually(ends.is_set)
        else:
            assert list(access.listening_addresses()) == [address]
    await local.stop()
    assert ends.is_set() is ending


async def test_in_development_a_service_on_loopback_goes_on(ends: asyncio.Event) -> None:
    local = LocalOnly(published=False)
    with socket.create_server(("127.0.0.1", 0)), socket.create_server(("::1", 0), family=socket.AF_INET6):
        await local.start()
        assert local._watching is not None
        await local._watching
        held = len(os.listdir("/dev/fd"))
        list(access.listening_addresses())
        assert len(os.listdir("/dev/fd")) == held
    assert not ends.is_set()
