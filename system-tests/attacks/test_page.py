"""The page of `make up SECURE=1`, behind the edge: who sees and does what, and in whose name."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.testing import eventually
from playwright.async_api import Browser, expect

from attacks.secured import Secured, secured
from attacks.test_secure import order_of
from browser import Visit, chromium, opened
from operations.shop import FAILING_CUSTOMER

READ = ("/stream", "/api/caller", "/api/orders", f"/api/orders/{uuid4()}", "/api/stock", "/api/dead-letters")
ACTS = ("/api/books", "/api/orders", f"/api/orders/{uuid4()}/cancel", "/api/stock", "/api/dead-letters")
BREAKING = ("/api/break", "/api/crowd", "/development/kill")


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[Secured]:
    async with secured() as running:

        async def page_is_served() -> bool:
            async with running.client() as somebody:
                return (await somebody.get("/")).status_code == 200

        await eventually(page_is_served, seconds=60)
        yield running


@pytest.fixture(scope="module")
async def product(system: Secured) -> UUID:
    product = uuid4()
    async with system.client(await system.token("staff")) as staff:
        assert (await staff.put(f"/inventory/{product}", json={"quantity_available": 1000})).status_code == 201
    return product


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture
async def visit(browser: Browser, system: Secured) -> AsyncIterator[Visit]:
    async with opened(browser, f"https://localhost:{system.ports['edge']}", trusting=True) as found:
        yield found


async def statuses(caller: httpx.AsyncClient) -> set[int]:
    """What reading and acting is answered."""
    found = set()
    for path in READ:
        async with caller.stream("GET", path) as answer:
            found.add(answer.status_code)
    return found | {(await caller.post(path, json={})).status_code for path in ACTS}


async def test_anybody_gets_the_page_and_nobody_without_a_role_anything_else(system: Secured) -> None:
    async with system.client() as stranger:
        for path in ("/", "/events", "/static/login.js", "/api/login"):
            answer = await stranger.get(path)
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert (f"connect-src 'self' http://localhost:{system.ports['issuer']}" in policy) is (path != "/events")
        assert await statuses(stranger) == {401}
    forged = f"{(await system.token('staff'))[:-4]}AAAA"
    for token, status in (
        (forged, 401),
        (await system.token("customer", uuid4()), 403),
        (await system.token("service"), 403),
    ):
        async with system.client(token) as caller:
            assert await statuses(caller) == {status}


async def test_an_auditor_reads_and_does_not_act_and_nobody_breaks_anything(system: Secured) -> None:
    async with system.client(await system.token("auditor")) as auditor:
        for path in ("/api/caller", "/api/orders", "/api/stock", "/api/dead-letters"):
            assert (await auditor.get(path)).status_code == 200, path
        assert (await auditor.post("/api/books", json={})).json()["agree"] is True
        assert {(await auditor.post(path, json={})).status_code for path in ACTS[1:]} == {403}
    async with system.client(await system.token("staff")) as staff:
        assert {(await staff.post(path, json={})).status_code for path in BREAKING} == {404}


async def test_nobody_reaches_the_page_past_the_edge(system: Secured) -> None:
    async with system.past_the_edge() as without:
        with pytest.raises(httpx.TransportError):
            await without.get(f"https://127.0.0.1:{system.ports['console']}")


async def test_a_stream_is_not_cut_off_by_the_edge(system: Secured) -> None:
    """Whose time-outs are 20 s."""
    pictures = 0
    async with system.client(await system.token("staff")) as staff, staff.stream("GET", "/stream") as answer:
        async with asyncio.timeout(120):
            async for line in answer.aiter_lines():
                pictures += line.startswith("data: ")
                if pictures == 50:
                    break
    assert pictures == 50, "25 seconds of them"


async def test_staff_see_an_order_s_way_read_the_books_and_cancel_in_their_own_name(
    visit: Visit, system: Secured, product: UUID
) -> None:
    page = visit.page
    await page.goto(visit.url)
    await visit.sign_in("staff", "clerk", system.password)
    await page.locator(".link.connected").wait_for()
    await expect(page.locator(".health.ok")).to_have_count(4)
    assert await page.locator("nav a").all_inner_texts() == ["Live", "An order", "Place", "Operate"]

    async with system.client(await system.token("staff")) as staff:
        done = (await staff.post("/orders", json=order_of(product, uuid4(), 5))).json()["id"]
        row = page.locator("tr", has=page.locator(f'a[href="#/order/{done}"]'))
        await expect(row.locator(".status")).to_have_text("completed")
        await expect(row.locator(".way li")).to_have_count(5)
        slow = (await staff.post("/orders", json=order_of(product, FAILING_CUSTOMER, 5))).json()["id"]
        await visit.go(f"order/{slow}")
        await page.get_by_role("button", name="Cancel").click()
        await page.locator(".heading .status.cancelled").wait_for()
        await expect(page.locator('.swim [title="OrderCancelled"]')).to_contain_text("by clerk")
        timeline = (await staff.get(f"/orders/{slow}/timeline")).json()
    [cancelled] = [entry for entry in timeline if entry["event"] == "OrderCancelled"]
    assert cancelled["by"] == f"http://localhost:{system.ports['issuer']} clerk"

    await visit.go("operate")
    await page.get_by_role("button", name="Read the books").click()
    await visit.says("The books agree")
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_role("button", name="Sign in").wait_for()
    assert await visit.findings() == []


async def test_a_customer_is_told_that_the_page_is_for_staff(visit: Visit, system: Secured) -> None:
    await visit.page.goto(visit.url)
    await visit.sign_in("customer", str(uuid4()), system.password)
    await visit.says("This page is for staff and auditors")
    assert await visit.page.locator("nav a").count() == 0


async def test_dead_letters_are_settled_by_the_operators_user(system: Secured) -> None:
    async with system.client(await system.token("staff")) as staff:
        assert (await staff.post("/api/dead-letters", json={"action": "redrive"})).json() == {"number": 0}
    assert re.search(r"\b0 found", await system.run("dead-letters"))
