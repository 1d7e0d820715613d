"""Signing in to the page of production in a real browser, at the development issuer and at a certified one.

The page's server runs alone here, without services: what it shows of them is in test_page.py.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from chassis.testing import eventually
from playwright.async_api import Browser, Request, expect

from attacks.test_certified_issuer import certified
from browser import Visit, chromium, opened
from machine import free_port, internal_port
from node import node_with
from system import Service

CERTIFIED = Path(__file__).parent / "certified"
NOT_STAFF = "This page is for staff and auditors, and you are signed in as neither."


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@dataclass(frozen=True, slots=True)
class Door:
    """The page's server, and the issuer that it believes."""

    url: str
    issuer: str
    keys: Path

    @property
    def password(self) -> str:
        return (self.keys / "password").read_text().strip()


@asynccontextmanager
async def page_believing(issuer: str, audience: str, folder: Path, port: int) -> AsyncIterator[str]:
    settings = {
        "ENVIRONMENT": "production",
        "DATABASE_URL": "postgresql://auditor_a:a-secret@localhost:1/none?sslmode=verify-full",
        "RABBITMQ_URL": "amqps://operations:a-secret@localhost:1/",
        "OIDC_ISSUER": issuer,
        "OIDC_AUDIENCE": audience,
        "OIDC_DISCOVERY_URL": "",
        "OIDC_CLIENT_ID": "the-page",
        "ALLOW_DEVELOPMENT_ISSUER": "true",
        "ALLOW_PLAIN_HTTP": "true",
        "INTERNAL_ADDRESS": f"127.0.0.1:{internal_port(port)}",
        "LOG_FORMAT": "json",
    }
    service = Service("console", folder / "console.log", os.environ | settings)
    service.port = port
    service.start()
    try:

        async def ready() -> bool:
            service.look()
            return (await service.health("/health/ready"))[0] == 200

        await eventually(ready, seconds=45)
        yield f"http://localhost:{port}"
    finally:
        await service.end(signal.SIGKILL)


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    folder, port, its = tmp_path_factory.mktemp("door"), free_port(), free_port()
    url = f"http://localhost:{its}"
    environment = {"OIDC_ISSUER": url, "ISSUER_KEYS": str(folder / "keys"), "OIDC_AUDIENCE": "order-processing"}
    environment |= {"ISSUER_REDIRECT_URIS": f"http://localhost:{port}/"}
    command = [sys.executable, "-m", "operations", "issuer", "--port", str(its)]
    issuer = subprocess.Popen(command, env=os.environ | environment)  # noqa: ASYNC220  # it returns at once

    async def answers() -> bool:
        assert issuer.poll() is None
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{url}/keys")).status_code == 200
        return False

    try:
        await eventually(answers, seconds=45)  # a service asks for keys when it starts
        async with page_believing(url, "order-processing", folder, port) as found:
            yield Door(found, url, folder / "keys")
    finally:
        issuer.terminate()
        await asyncio.to_thread(issuer.wait, 30)


@pytest.fixture
async def visit(browser: Browser, door: Door) -> AsyncIterator[Visit]:
    async with opened(browser, door.url) as found:
        yield found


async def signed_in(visit: Visit, door: Door, role: str = "staff", view: str = "live") -> None:
    await visit.page.goto(f"{door.url}/#/{view}")
    await visit.sign_in(role, "clerk", door.password)
    await visit.page.get_by_role("button", name="Sign out").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize(("locale", "word"), [("en-GB", "Sign in"), ("es-ES", "Iniciar sesión")])
async def test_the_signed_out_page_can_be_used_by_everybody(
    browser: Browser, door: Door, locale: str, word: str, theme: str, size: str
) -> None:
    async with opened(browser, door.url, locale=locale, theme=theme, size=size) as visit:
        await visit.page.goto(door.url)
        await visit.page.get_by_role("button", name=word).wait_for()
        assert await visit.findings() == []
        assert await visit.too_wide() <= 0
        assert await visit.page.locator("nav a").count() == 0


async def test_staff_sign_in_and_come_back_to_the_view_that_they_wanted(visit: Visit, door: Door) -> None:
    sent: list[Request] = []
    visit.page.on("request", lambda request: sent.append(request))
    await signed_in(visit, door, view="operate")
    assert visit.page.url == f"{door.url}/#/operate"
    await visit.says("Dead letters")
    await expect(visit.page.locator(".tools")).to_contain_text("clerk")
    views = await visit.page.locator("nav a").all_inner_texts()
    assert views == ["Live", "An order", "Place", "Operate"], "nothing that breaks"
    assert await visit.findings() == []
    asked = parse_qs(urlsplit(next(each.url for each in sent if "/authorize" in each.url)).query)
    assert asked["code_challenge_method"] == ["S256"]
    [exchange] = [each.post_data or "" for each in sent if each.url == f"{door.issuer}/token"]
    assert not set(asked["code_challenge"]) & set(parse_qs(exchange)["code_verifier"])
    kept = await visit.page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "eyJ" not in kept, "the token is in the page's memory only"
    assert not [each.url for each in sent if "eyJ" in each.url]


async def test_a_reload_signs_in_again_without_a_question(visit: Visit, door: Door) -> None:
    await signed_in(visit, door, view="order")
    await visit.page.reload()
    await visit.page.get_by_role("button", name="Sign out").wait_for()
    assert visit.page.url == f"{door.url}/#/order"
    await visit.page.context.clear_cookies()
    await visit.page.reload()
    await visit.page.get_by_role("button", name="Sign in").wait_for()


async def test_who_signs_out_is_out(visit: Visit, door: Door) -> None:
    await signed_in(visit, door)
    await visit.page.get_by_role("button", name="Sign out").click()
    await visit.page.get_by_role("button", name="Sign in").wait_for()
    assert await visit.page.locator("nav a, .stale, [role=alert]").count() == 0
    assert await visit.findings() == []
    await visit.page.reload()
    await visit.page.get_by_role("button", name="Sign in").click()
    await visit.page.get_by_label("Password").wait_for()


@pytest.mark.parametrize("role", ["customer", "service"])
async def test_others_are_told_that_the_page_is_for_staff(visit: Visit, door: Door, role: str) -> None:
    await visit.page.goto(door.url)
    await visit.sign_in(role, "5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11", door.password)
    await visit.says(NOT_STAFF)
    assert await visit.page.locator("nav a").count() == 0
    assert await visit.findings() == []
    await visit.sign_in("staff", "clerk", door.password)
    await visit.page.get_by_role("button", name="Sign out").wait_for()


async def test_an_auditor_may_look_and_not_act(visit: Visit, door: Door) -> None:
    await signed_in(visit, door, "auditor", "operate")
    assert await visit.page.locator("nav a").all_inner_texts() == ["Live", "An order", "Operate"]
    await visit.page.get_by_role("button", name="Read the books").wait_for()
    assert await visit.page.get_by_role("button", name="Set", exact=True).count() == 0


@pytest.mark.parametrize(
    "query", ["code=a-code&state=forged", "code=a-code&state=", "error=access_denied&state=forged"]
)
async def test_an_answer_that_the_page_has_not_asked_for_signs_nobody_in(visit: Visit, door: Door, query: str) -> None:
    """Or somebody could be signed in as an attacker, unawares."""
    sent: list[Request] = []
    visit.page.on("request", lambda request: sent.append(request))
    await visit.page.goto(f"{door.url}/?{query}")
    await visit.says("This sign-in was not begun here")
    assert visit.page.url == f"{door.url}/"
    assert not [each.url for each in sent if each.url.endswith("/token")]


async def test_an_answer_of_another_issuer_is_not_believed(visit: Visit, door: Door) -> None:
    """https://www.rfc-editor.org/rfc/rfc9207"""
    await visit.page.goto(door.url)
    await visit.page.get_by_role("button", name="Sign in").click()
    await visit.page.get_by_label("Password").wait_for()
    state = parse_qs(urlsplit(visit.page.url).query)["state"][0]
    await visit.page.goto(f"{door.url}/?code=a-code&state={state}&iss=https://evil.example")
    await visit.says("This sign-in was not begun here")


async def test_a_code_that_the_issuer_does_not_take_signs_nobody_in(visit: Visit, door: Door) -> None:
    await visit.page.goto(door.url)
    await visit.page.get_by_role("button", name="Sign in").click()
    await visit.page.get_by_label("Password").wait_for()
    state = parse_qs(urlsplit(visit.page.url).query)["state"][0]
    await visit.page.goto(f"{door.url}/?code=guessed&state={state}")
    await visit.says("The issuer did not complete the sign-in.")


async def test_a_token_that_is_believed_no_longer_leads_to_the_issuer_and_back(visit: Visit, door: Door) -> None:
    """Which still knows the caller; the page asks it once, and not in a circle."""
    refused = 0

    async def expired(route: object) -> None:
        nonlocal refused
        refused += 1
        await route.fulfill(status=401, json={"detail": "The token has expired."})  # type: ignore[attr-defined]

    await signed_in(visit, door, view="operate")
    await visit.page.evaluate("() => (Date.now = ((now) => () => now() + 3600_000)(Date.now))")
    await visit.page.route("**/api/stock", expired, times=1)
    await eventually(lambda: refused > 0, seconds=20)
    await visit.page.get_by_role("button", name="Sign out").wait_for()
    assert visit.page.url == f"{door.url}/#/operate"
    await visit.page.route("**/api/stock", expired)
    await visit.says("The page's server does not accept this sign-in.")


async def test_an_issuer_that_is_away_is_said_to_be(visit: Visit, door: Door) -> None:
    await visit.page.route(re.compile("openid-configuration"), lambda route: route.abort())
    await visit.page.goto(door.url)
    await visit.page.get_by_role("button", name="Sign in").click()
    await visit.says("The issuer, where people sign in, does not answer")


async def test_a_foreign_page_gets_nothing(door: Door) -> None:
    async with httpx.AsyncClient(base_url=door.url) as client:
        for headers in ({}, {"Authorization": "Bearer eyJ.a.b"}):
            for path in ("/stream", "/api/orders", "/api/caller"):
                answer = await client.get(path, headers={**headers, "Origin": "https://evil.example"})
                assert answer.status_code == 401
                assert "access-control-allow-origin" not in answer.headers


async def test_it_works_with_a_certified_issuer(browser: Browser, tmp_path: Path) -> None:
    """Sign-in, reload and sign-out, which ends the session there too."""
    port = free_port()
    async with (
        certified(node_with(CERTIFIED), f"http://localhost:{port}/") as issuer,
        page_believing(issuer, "urn:order-processing", tmp_path, port) as url,
        opened(browser, url) as visit,
    ):
        await visit.page.goto(f"{url}/#/order")
        await visit.page.get_by_role("button", name="Sign in").click()
        await visit.page.locator("input[name=login]").fill("clerk")
        await visit.page.locator("input[name=password]").fill("any")
        await visit.page.locator("button[type=submit]").click()
        await visit.page.get_by_role("button", name=re.compile("continue", re.I)).click()
        await expect(visit.page.locator(".tools")).to_contain_text("clerk")
        assert visit.page.url == f"{url}/#/order"
        await visit.page.reload()
        await expect(visit.page.locator(".tools")).to_contain_text("clerk")
        await visit.page.get_by_role("button", name="Sign out").click()
        await visit.page.get_by_role("button", name=re.compile("yes", re.I)).click()
        await visit.page.get_by_role("button", name="Sign in").click()
        await visit.page.locator("input[name=login]").wait_for()
