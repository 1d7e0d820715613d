"""What the page asks of its server, on services that only pretend."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chassis.http.access import Guard, LocalOnly
from chassis.testing.running import NOWHERE, load_main
from starlette.routing import Route

from application.figures import Waiting
from application.ports import Refused
from application.watching import Watching
from infrastructure.services import HttpServices
from tests.seen import CUSTOMER, ORDER, PRODUCT, Pretended, document, order, problem
from tests.unit.test_services import INTERNAL_URLS, URLS

FOLDER = Path(__file__).resolve().parents[2]


class RestingFeed:
    state = "following"
    waiting: dict[str, Waiting] = {}  # noqa: RUF012 (nobody changes it)

    def look(self) -> None:
        pass


class PretendedTool:
    def __init__(self) -> None:
        self.settled: list[tuple[str, list[str], str | None]] = []

    async def counts(self) -> dict[str, int]:
        return {"completed": 3}

    async def books(self) -> dict[str, Any]:
        return {"agree": True}

    async def dead_letters(self) -> list[dict[str, Any]]:
        return [{"id": "a"}]

    async def settle(self, action: str, services: list[str], letter_id: str | None) -> int:
        if letter_id == "unknown":
            raise Refused(409, "refused", "There is no such letter.")
        self.settled.append((action, list(services), letter_id))
        return 2


class PretendedBreaker:
    """Notes what is broken."""

    def __init__(self) -> None:
        self.broken: list[tuple[Any, ...]] = []

    async def kill(self, service: str, replica: str | None) -> None:
        if replica == "unknown":
            raise Refused(404, "not-found", "There is no such replica.")
        self.broken.append(("kill", service, replica))

    async def disconnect(self, service: str) -> None:
        self.broken.append(("disconnect", service))

    async def gateway(self, answers: str) -> None:
        self.broken.append(("gateway", answers))

    async def poison(self) -> int:
        self.broken.append(("poison",))
        return 1

    async def again(self, documents: list[dict[str, Any]]) -> int:
        self.broken.append(("again", *(document["subject"] for document in documents)))
        return len(documents)

    async def wipe(self, service: str) -> int:
        self.broken.append(("wipe", service))
        return 3


class Page:
    """The page's server, and what it stands on."""

    def __init__(self, *, development: bool = True) -> None:
        self.breaker = PretendedBreaker()
        self.services = Pretended()
        self.watching = Watching()
        self.tool = PretendedTool()
        main = load_main(
            FOLDER, DATABASE_URL=f"postgresql://a:b@{NOWHERE}/c", RABBITMQ_URL=f"amqp://{NOWHERE}", BIND_ADDRESS=""
        )
        guard = Guard("development", LocalOnly(published=False).admit, development=development)
        http = HttpServices(URLS, INTERNAL_URLS, self.services.client())
        self.app = main.compose(
            self.watching, RestingFeed(), http, self.tool, self.breaker, parts=[http], guard=guard, login={}
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://localhost")

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers=headers)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    found = Page()
    async with found.client:
        yield found


async def test_the_page_and_its_files_are_served_and_run_no_foreign_script(page: Page) -> None:
    for path in ("/", "/static/main.js", "/static/vendor/pico.css", "/openapi.json"):
        answer = await page.client.get(path)
        assert answer.status_code == 200, path
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
    assert (await page.client.head("/")).status_code == 200
    assert (await page.client.get("/static/../main.py")).status_code == 404
    assert (await page.client.get("/static/%2e%2e/main.py")).status_code == 404


async def test_a_picture_is_sent_as_soon_as_a_page_opens(page: Page) -> None:
    page.watching.take([document("OrderCreated")])
    stream = next(route for route in page.app.routes if isinstance(route, Route) and route.path == "/stream")
    answer = await stream.endpoint()
    body = answer.body_iterator
    line = await anext(body)
    picture = json.loads(line.removeprefix(b"data: "))
    assert (picture["feed"], [order["id"] for order in picture["orders"]]) == ("following", [ORDER])
    assert await anext(body) != line
    await body.aclose()


async def test_an_order_is_told_by_all_who_know_of_it(page: Page) -> None:
    page.services.answers[f"GET /orders/{ORDER}"] = httpx.Response(200, json=order("pending"))
    page.watching.take([document("OrderCreated")])
    story = (await page.client.get(f"/api/orders/{ORDER}")).json()
    assert (story["status"], story["watched"], [step["name"] for step in story["steps"]]) == (
        "pending",
        True,
        ["OrderCreated"],
    )


async def test_an_order_that_nobody_knows_is_not_found_unless_nobody_could_say(page: Page) -> None:
    assert (await page.client.get(f"/api/orders/{ORDER}")).status_code == 404
    assert (await page.client.get("/api/orders/7")).status_code == 422
    page.services.away = {"orders", "orders2"}
    story = (await page.client.get(f"/api/orders/{ORDER}")).json()
    assert (story["status"], story["silent"]) == (None, ["order-service"])


async def test_orders_are_found_by_customer_status_and_time_as_the_order_service_has_them(page: Page) -> None:
    page.services.answers["GET /orders"] = httpx.Response(200, json=[order("failed"), order("failed", "other")])
    asked = {"customer_id": CUSTOMER, "status": "failed", "since": "2026-11-24T12:00:00Z"}
    found = (await page.client.get("/api/orders", params=asked)).json()
    assert ([each["id"] for each in found["orders"]], found["of_page"]) == ([ORDER, "other"], False)
    since = "2026-11-24T12%3A00%3A00%2B00%3A00"
    wanted = f"GET orders/orders?customer_id={CUSTOMER}&status=failed&since={since}"
    assert page.services.asked[-1] == wanted
    for odd in ("status=odd", "since=noon", "customer_id=me"):
        assert (await page.client.get(f"/api/orders?{odd}")).status_code == 422


async def test_while_the_order_service_is_away_those_are_found_that_the_page_has_seen(page: Page) -> None:
    page.services.away = {"orders", "orders2"}
    page.watching.take([document("OrderCreated", "a"), document("OrderCreated", "b", second=1)])
    page.watching.take([document("OrderCancelled", "b", second=2)])
    for status, wanted in (("", ["b", "a"]), ("?status=cancelled", ["b"]), ("?status=completed", [])):
        found = (await page.client.get(f"/api/orders{status}")).json()
        assert ([each["id"] for each in found["orders"]], found["of_page"]) == (wanted, True)


async def test_an_order_is_placed_for_somebody_new_and_the_stock_before_it_is_kept(page: Page) -> None:
    bodies: list[dict[str, Any]] = []

    def place(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(201, json=order())

    page.services.answers["POST /orders"] = place
    page.services.answers[f"GET /inventory/{PRODUCT}"] = httpx.Response(200, json={"quantity_available": 9})
    item = {"product_id": PRODUCT, "quantity": 2, "price": 19.99}
    for _ in range(2):
        assert (await page.post("/api/orders", {"items": [item]})).json()["id"] == ORDER
    assert [body["items"] for body in bodies] == [[item], [item]]
    assert bodies[0]["customer_id"] != bodies[1]["customer_id"]
    assert page.watching.stock_before[ORDER] == {PRODUCT: {"quantity_available": 9}}
    page.services.away = {"inventory"}
    assert (await page.post("/api/orders", {"customer_id": CUSTOMER, "items": [item]})).status_code == 200
    assert bodies[2]["customer_id"] == CUSTOMER


async def test_what_a_service_refuses_is_told_in_its_words(page: Page) -> None:
    page.services.answers[f"DELETE /orders/{ORDER}"] = problem(409, "illegal-transition", "It is completed.")
    answer = await page.post(f"/api/orders/{ORDER}/cancel", {})
    assert (answer.status_code, answer.json()["detail"]) == (409, "It is completed.")
    page.services.away = {"orders", "orders2"}
    assert (await page.post(f"/api/orders/{ORDER}/cancel", {})).status_code == 503


async def test_stock_is_listed_and_set(page: Page) -> None:
    bodies: list[Any] = []

    def put(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"product_id": PRODUCT})

    page.services.answers |= {"GET /inventory": httpx.Response(200, json=[{"product_id": PRODUCT}])}
    page.services.answers |= {f"PUT /inventory/{PRODUCT}": put}
    assert (await page.client.get("/api/stock")).json() == [{"product_id": PRODUCT}]
    for body in ({"quantity_available": 5}, {"quantity_available": 5, "price": 2.5}):
        assert (await page.post("/api/stock", {"product_id": PRODUCT, **body})).status_code == 200
    assert bodies == [{"quantity_available": 5}, {"quantity_available": 5, "price": 2.5}]


async def test_stock_is_changed_by_a_difference_under_the_page_s_own_key(page: Page) -> None:
    sent: list[tuple[str, Any]] = []

    def post(request: httpx.Request) -> httpx.Response:
        sent.append((request.headers["idempotency-key"], json.loads(request.content)))
        return httpx.Response(201, json={"quantity_available": 15})

    page.services.answers[f"POST /inventory/{PRODUCT}/changes"] = post
    path = f"/api/stock/{PRODUCT}/changes"
    answer = await page.post(path, {"difference": -3, "key": "an-act"})
    assert (answer.status_code, answer.json()) == (200, {"quantity_available": 15})
    assert sent == [("an-act", {"difference": -3})]
    for body in (
        {"difference": 1},
        {"difference": "1", "key": "a"},
        {"difference": 1, "key": "a" * 256},
        {"difference": 1, "key": "é"},
    ):
        assert (await page.post(path, body)).status_code == 422
    assert len(sent) == 1


async def test_books_are_read_and_dead_letters_settled_by_the_operators_tool(page: Page) -> None:
    assert (await page.post("/api/books", {})).json() == {"agree": True}
    assert (await page.client.get("/api/dead-letters")).json() == [{"id": "a"}]
    one = {"action": "drop", "service": "order-service", "id": "a"}
    assert (await page.post("/api/dead-letters", one)).json() == {"number": 2}
    assert (await page.post("/api/dead-letters", {"action": "redrive"})).status_code == 200
    assert page.tool.settled == [("drop", ["order-service"], "a"), ("redrive", [*URLS], None)]
    assert (await page.post("/api/dead-letters", {"action": "drop", "id": "unknown"})).status_code == 409
    assert (await page.post("/api/dead-letters", {"action": "burn"})).status_code == 422


ACTS = (
    *("/api/orders", f"/api/orders/{ORDER}/cancel", "/api/crowd", "/api/stock", "/api/books"),
    f"/api/stock/{PRODUCT}/changes",
    *("/api/dead-letters", "/api/break"),
)


@pytest.mark.parametrize("path", ACTS)
async def test_no_foreign_page_can_act(page: Page, path: str) -> None:
    """A browser sends a form, or text that happens to be JSON, without asking first: such a body is refused."""
    for headers in ({"origin": "https://elsewhere.example"}, {"origin": "null"}, {"host": "elsewhere.example"}):
        assert (await page.post(path, {}, **headers)).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await page.client.post(path, content=b"{}", headers={"content-type": kind})
        assert answer.status_code == 415
    assert (await page.client.get(path)).status_code in (200, 404, 405, 503)
    assert page.services.asked == [] or all(asked.startswith("GET") for asked in page.services.asked)


async def test_a_crowd_is_bounded(page: Page) -> None:
    for customers in (0, 501, "many", 2.5):
        assert (await page.post("/api/crowd", {"customers": customers, "pieces": 5})).status_code == 422


async def test_what_is_broken_is_what_was_asked_for(page: Page) -> None:
    page.watching.take([document("OrderCreated", "a"), {"no": "event"}, document("OrderCreated", "b")])
    for body, number in (
        ({"act": "kill", "service": "order-service", "replica": "127.0.0.1:1"}, None),
        ({"act": "kill", "service": "payment-service"}, None),
        ({"act": "disconnect", "service": "inventory-service"}, None),
        ({"act": "gateway", "answers": "silent"}, None),
        ({"act": "poison"}, 1),
        ({"act": "again"}, 2),
        ({"act": "wipe", "service": "order-service"}, 3),
    ):
        answer = await page.post("/api/break", body)
        assert (answer.status_code, answer.json()) == (200, {"number": number})
    assert page.breaker.broken == [
        ("kill", "order-service", "127.0.0.1:1"),
        ("kill", "payment-service", None),
        ("disconnect", "inventory-service"),
        ("gateway", "silent"),
        ("poison",),
        ("again", "a", "b"),
        ("wipe", "order-service"),
    ]
    assert (await page.post("/api/break", {"act": "kill", "replica": "unknown"})).status_code == 404
    assert (await page.post("/api/break", {"act": "burn"})).status_code == 422


async def test_nothing_can_be_broken_and_no_crowd_be_made_up_where_callers_are_checked() -> None:
    page = Page(development=False)
    async with page.client:
        assert (await page.post("/api/break", {"act": "poison"})).status_code == 404
        assert (await page.post("/api/crowd", {"customers": 1, "pieces": 1})).status_code == 404
    assert page.breaker.broken == []


async def test_in_development_nobody_has_to_sign_in(page: Page) -> None:
    assert (await page.client.get("/api/login")).json() == {}
    assert (await page.client.get("/api/caller")).json() == {"name": "", "roles": []}


async def test_a_stream_ends_so_that_the_page_shows_its_token_again(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stream.AT_MOST_SECONDS", 0.7)
    monkeypatch.setattr("api.stream.EVERY_SECONDS", 0.2)
    async with page.client.stream("GET", "/stream") as answer:
        pictures = [line async for line in answer.aiter_lines() if line]
    assert len(pictures) > 1
