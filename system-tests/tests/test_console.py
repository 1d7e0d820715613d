"""The page for people, in a real browser on the running system: what it shows at each moment, in both languages."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from chassis.testing import eventually
from playwright.async_api import Browser, Route, expect

from browser import Visit, chromium, console_of, opened
from bus import Bus
from operations.shop import DECLINED_CUSTOMER, Line
from shop import Shop
from system import Service, System, all_healthy
from way import development_only

pytestmark = development_only("attacks/test_page.py has the page of production")

VIEWS = ("live", "order", "place", "operate", "break", "tour")
DISAGREEING = {"agree": False, "findings": [{"severity": "violation", "sentence": "A piece has vanished."}], "more": 0}
SCENES = ("way", "crash", "declined", "crowd", "poison", "books")
WORDS = {
    "en-GB": {
        "live": "The four services",
        "order": "The newest orders",
        "place": "Place the order",
        "operate": "Read the books",
        "break": "The payment gateway",
        "tour": "A crash in the middle",
        "kept": "Kept.",
        "all": "Show all six",
        "language": "en",
    },
    "es-ES": {
        "live": "Los cuatro servicios",
        "order": "Los pedidos más recientes",
        "place": "Hacer el pedido",
        "operate": "Leer los libros",
        "break": "La pasarela de pago",
        "tour": "Una caída en medio",
        "kept": "Cumplida.",
        "all": "Mostrar las seis",
        "language": "es",
    },
}


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture(scope="module")
async def console(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    service = console_of(system, tmp_path_factory.mktemp("console"))
    service.start()
    await all_healthy([service])
    yield service
    await service.end(signal.SIGKILL)


@pytest.fixture
async def visit(browser: Browser, console: Service) -> AsyncIterator[Visit]:
    async with opened(browser, console.url) as found:
        yield found


@pytest.fixture
async def live(visit: Visit) -> Visit:
    """At a page that follows the events."""
    await visit.go("live")
    return visit


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", WORDS)
async def test_every_view_can_be_used_by_everybody(
    browser: Browser, console: Service, shop: Shop, locale: str, theme: str, size: str
) -> None:
    """axe finds nothing, nothing is wider than the screen, and the words are those of the browser's language."""
    words = WORDS[locale]
    async with opened(browser, console.url, locale=locale, theme=theme, size=size) as visit:
        await visit.go("live")
        order = await shop.place(Line(await shop.stock(5)), customer=DECLINED_CUSTOMER)
        await visit.page.locator("tr.failed .undoing").first.wait_for()
        for view in (*VIEWS, f"order/{order['id']}"):
            await visit.go(view)
            await visit.page.locator("h1").first.wait_for(state="attached")
            if view in words:
                await visit.says(words[view])
            else:
                await visit.page.locator(".notes li").first.wait_for()
            assert await visit.page.locator("html").get_attribute("lang") == words["language"]
            assert await visit.findings() == [], view
            assert await visit.too_wide() <= 0, view
            await visit.picture(
                f"{view.partition('/')[0]}{'-one' if '/' in view else ''}-{words['language']}-{theme}-{size}"
            )


async def test_an_orders_way_is_seen_as_it_goes(live: Visit, shop: Shop) -> None:
    order = await shop.place(Line(await shop.stock(5), price=12.5))
    row = live.page.locator("tr", has=live.page.locator(f'a[href="#/order/{order["id"]}"]'))
    await expect(row.locator(".way li")).to_have_count(5)
    await expect(row.locator(".status")).to_have_text("completed")
    await expect(row).to_contain_text("12.50")
    steps = await row.locator(".way li").all_inner_texts()
    assert (steps[0], steps[-1], sorted(steps[1:4])) == ("placed", "completed", ["charged", "confirmed", "stock held"])


async def test_what_was_undone_is_told_step_by_step(live: Visit, shop: Shop) -> None:
    order = await shop.place(Line(await shop.stock(5), quantity=2), customer=DECLINED_CUSTOMER)
    await live.go(f"order/{order['id']}")
    await expect(live.page.locator(".heading .status.failed")).to_have_text("failed")
    await expect(live.page.locator(".heading .reason")).to_have_text("the card was declined")
    await expect(live.page.locator(".swim .event.undoing")).to_contain_text("stock released")
    await expect(live.page.locator(".swim .event.failure").first).to_contain_text("charge failed")
    await expect(live.page.locator('[aria-labelledby="payment"]')).to_contain_text("failed")
    await expect(live.page.locator('[aria-labelledby="stock"] tbody td').nth(2)).to_have_text("not recorded")
    await expect(live.page.locator('[aria-labelledby="stock"] tbody td').nth(3)).to_have_text("5")
    await expect(live.page.locator(".notes li").last).to_contain_text("Order failed")
    assert await live.page.locator(".swim tbody tr").count() == 6


async def test_an_order_from_before_the_page_is_told_by_what_the_services_kept(
    browser: Browser, system: System, shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    order = await shop.place(Line(await shop.stock(5)))
    await shop.ended(order["id"])
    late = console_of(system, tmp_path_factory.mktemp("late"))
    late.start()
    try:
        await all_healthy([late])
        async with opened(browser, late.url) as visit:
            await visit.go(f"order/{order['id']}")
            await visit.says("Nobody was looking when this happened")
            steps = visit.page.locator(".swim tbody tr")
            await expect(steps).to_have_count(5)
            await expect(steps.nth(1)).to_contain_text("not recorded")
            await expect(visit.page.locator(".heading .status")).to_have_text("completed")
    finally:
        await late.end(signal.SIGKILL)


async def test_orders_are_found_by_their_id_and_by_their_customers(visit: Visit, shop: Shop) -> None:
    customer = uuid4()
    order = await shop.place(Line(await shop.stock(5)), customer=customer)
    await visit.go("order")
    search = visit.page.get_by_role("searchbox")
    await search.fill(str(customer))
    await search.press("Enter")
    await visit.says(f"Orders of customer {customer}")
    await expect(visit.page.locator("tbody .id")).to_have_count(1)
    await expect(visit.page.locator("tbody .id")).to_have_attribute("href", f"#/order/{order['id']}")
    await visit.page.get_by_label("State").select_option("failed")
    await visit.says("None.")
    await visit.page.get_by_label("State").select_option("completed")
    await visit.page.get_by_label("Placed").select_option("10")
    await expect(visit.page.locator("tbody .id")).to_have_count(1)
    await search.fill(order["id"])
    await search.press("Enter")
    await expect(visit.page.locator("h1 code")).to_have_text(order["id"])
    await visit.go("order")
    for wrong, said in (("seven", "An id looks like"), (str(uuid4()), "There is no order of that id")):
        await search.fill(wrong)
        await search.press("Enter")
        await visit.says(said)


async def test_every_event_is_explained_without_the_internet(visit: Visit) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    await visit.go("order")
    await visit.page.get_by_role("link", name="What each event says").click()
    for name in ("OrderCreated", "PaymentRefunded"):
        await visit.page.get_by_text(f"publishes {name}").first.wait_for()
        await visit.page.get_by_text(f"reads {name}").first.wait_for()
    assert {url for url in asked if not url.startswith((f"{visit.url}/", "data:", "blob:"))} == set()
    await visit.picture("events")


async def test_an_order_is_placed_with_the_keyboard_alone(visit: Visit) -> None:
    await visit.go("place")
    page = visit.page
    await page.keyboard.press("Tab")
    assert await page.evaluate("() => document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    assert await page.evaluate("() => document.activeElement.id") == "main"
    await page.keyboard.press("Tab")
    assert await page.evaluate("() => document.activeElement.name") == "customer"
    await page.keyboard.press("ArrowDown")
    await visit.says("Her card is declined")
    for _ in range(4):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".heading .status.failed")).to_have_text("failed")
    await expect(page.locator('[aria-labelledby="stock"] tbody td').nth(2)).to_have_text("100")


async def test_an_order_that_waits_can_be_cancelled(visit: Visit, system: System, shop: Shop) -> None:
    await system.kill("payment-service")
    try:
        await visit.go("live")
        order = await shop.place(Line(await shop.stock(5)))
        await visit.go(f"order/{order['id']}")
        await expect(visit.page.locator(".swim .event.pending")).to_have_text("its turn")
        await visit.says("Payments does not answer")
        await visit.page.get_by_role("button", name="Cancel the order").click()
        await expect(visit.page.locator(".heading .status").first).to_have_text("cancelled")
        await expect(visit.page.locator(".swim .event.undoing")).to_contain_text("stock released")
    finally:
        system.start("payment-service")
        await system.healthy()


async def test_a_crowd_is_not_oversold(visit: Visit) -> None:
    await visit.go("place")
    form = visit.page.locator('[aria-labelledby="crowd"]')
    await form.get_by_label("Customers").fill("60")
    await form.get_by_label("Pieces").fill("20")
    await form.get_by_role("button").click()
    await expect(form.get_by_role("status")).to_have_text(
        "Nobody was oversold: 20 sold, 0 free, none held.", timeout=60_000
    )
    await expect(form.locator(".facts")).to_contain_text("out of stock")
    await visit.picture("crowd-en-light-desktop")


async def test_the_page_and_the_books_agree_at_rest(live: Visit, shop: Shop) -> None:
    for customer in (None, DECLINED_CUSTOMER):
        await shop.ended((await shop.place(Line(await shop.stock(5)), customer=customer))["id"])
    second = await live.page.context.new_page()
    books = Visit(second, live.page.url.partition("/#")[0])
    await books.go("operate")
    await second.get_by_role("button", name="Read the books").click()
    await books.says("The books agree.")
    for status in ("completed", "failed"):
        counted = await second.locator(f'[data-book="{status}"]').inner_text()
        await expect(live.page.locator(f'[data-count="{status}"]')).to_have_text(counted)
    await expect(live.page.locator('[data-count="open"]')).to_have_text("0")
    for wait in ("queue", "retries"):
        assert await live.page.locator(f'[data-wait="{wait}"]').all_inner_texts() == ["0"] * 4


async def test_a_dead_letter_is_read_redriven_and_dropped(visit: Visit, channel: Bus) -> None:
    await channel.send(b"this is no JSON", routing_key="order.created")
    await visit.go("operate")
    section = visit.page.locator('[aria-labelledby="letters"]')
    letter = section.locator(".letter")
    await expect(letter).to_have_count(1)
    await expect(letter).to_contain_text("not-json")
    await letter.get_by_text("Show it").click()
    await expect(letter.locator("pre")).to_contain_text("this is no JSON")
    assert await visit.findings() == []
    await letter.get_by_role("button", name="Redrive").click()
    await visit.says("1 sent back")
    await expect(letter).to_have_count(1)  # it is no better than it was
    visit.page.once("dialog", lambda dialog: dialog.dismiss())
    await letter.get_by_role("button", name="Drop").click()
    await expect(letter).to_have_count(1)
    visit.page.once("dialog", lambda dialog: dialog.accept())
    await letter.get_by_role("button", name="Drop").click()
    await visit.says("1 dropped")
    await visit.says("There are none.")


async def test_stock_is_set(visit: Visit, shop: Shop) -> None:
    product = await shop.stock(5)
    await visit.go("operate")
    section = visit.page.locator('[aria-labelledby="stocks"]').first
    await section.get_by_label("Product").fill(str(product))
    await section.get_by_label("Free now").fill("77")
    await section.get_by_role("button", name="Set").click()
    await expect(section.locator("tr", has_text=str(product))).to_contain_text("77")
    assert await shop.stock_of(product) == (77, 0)


async def test_what_arrives_is_added_once_though_the_first_answer_is_lost(visit: Visit, shop: Shop) -> None:
    product = await shop.stock(5)
    await visit.go("operate")
    row = visit.page.locator("tr", has_text=str(product))
    lost = 0

    async def lose_the_answer(route: Route) -> None:
        nonlocal lost
        lost += 1
        await route.fetch()
        await route.abort()

    await visit.page.route("**/changes", lose_the_answer, times=1)
    await row.get_by_label("Add or take").fill("10")
    await row.get_by_role("button", name="Change").click()
    await expect(row.get_by_role("alert")).to_contain_text("does not answer")
    await row.get_by_role("button", name="Change").click()
    await expect(row.get_by_role("alert")).to_have_count(0)
    await expect(row.get_by_label("Add or take")).to_have_value("")
    assert lost == 1
    assert await shop.stock_of(product) == (15, 0)
    await row.get_by_label("Add or take").fill("-16")
    await row.get_by_role("button", name="Change").click()
    await expect(row.get_by_role("alert")).to_contain_text("Only 15 can be ordered")
    assert await visit.findings() == []


async def test_an_order_shows_what_was_missing(visit: Visit, shop: Shop) -> None:
    product = await shop.stock(2)
    order = await shop.place(Line(product, quantity=5))
    await visit.go(f"order/{order['id']}")
    await expect(visit.page.locator(".heading .reason")).to_have_text("out of stock")
    panel = visit.page.locator('[aria-labelledby="stock"]')
    await expect(panel.locator("th").last).to_have_text("Were missing")
    await expect(panel.locator("tbody td").last).to_have_text("3")
    await expect(visit.page.locator(".notes")).to_contain_text(f"missing: 3 of {product}")
    assert await visit.findings() == []
    assert await visit.too_wide() <= 0


async def test_a_payment_service_killed_in_the_middle_of_an_order(live: Visit, system: System, shop: Shop) -> None:
    """What the page says at each moment: all is well, it is down and the order waits there, it is back, it is done."""
    lane = live.page.get_by_role("article", name="Payments")
    await expect(lane.locator(".health")).to_have_text("1 well")
    async with live.filmed("crash"):
        await system.kill("payment-service")
        await expect(lane.locator(".health")).to_have_text("down")
        await expect(lane.locator(".trouble")).to_contain_text("does not answer")
        await expect(live.page.locator("p[aria-live]")).to_have_text("Payments is not well")
        order = await shop.place(Line(await shop.stock(5)))
        row = live.page.locator("tr", has=live.page.locator(f'a[href="#/order/{order["id"]}"]'))
        await expect(row.locator(".way .pending")).to_have_text("waits for Payments")
        await expect(row.locator(".status")).to_have_text("confirmed")
        await expect(lane.locator(f'.chips a[href="#/order/{order["id"]}"]')).to_have_count(1)
        await expect(lane.locator('[data-wait="queue"]')).to_have_text("1")
        assert await live.findings() == []
        await live.picture("payment-service-killed-en-light-desktop")
        system.start("payment-service")
        await expect(row.locator(".status")).to_have_text("completed", timeout=60_000)
        await expect(lane.locator(".health")).to_have_text("1 well")
        await expect(lane.locator(".chips a")).to_have_count(0)
        await expect(lane.locator('[data-wait="queue"]')).to_have_text("0")
    await system.healthy()


@asynccontextmanager
async def brought_back(system: System, name: str) -> AsyncIterator[None]:
    """A service that ends is started again, as the supervisor of `make up` does, or Docker's restart policy."""
    service = system.services[name]
    service.mortal = True

    async def watch() -> None:
        while True:
            if service.started and not service.running:
                await service.end(signal.SIGKILL)
                service.start()
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    try:
        yield
        await system.healthy()
    finally:
        watching.cancel()
        service.mortal = False


@pytest.mark.parametrize("locale", WORDS)
async def test_the_tour_shows_each_promise_being_kept(
    browser: Browser, console: Service, system: System, locale: str
) -> None:
    words = WORDS[locale]
    killed = system.services["payment-service"].pid
    async with brought_back(system, "payment-service"), opened(browser, console.url, locale=locale) as visit:
        await visit.go("tour")
        await visit.page.get_by_role("button", name=words["all"]).click()
        for scene in SCENES:
            verdict = visit.page.locator(f"#scene-{scene} .good, #scene-{scene} .problem")
            await verdict.wait_for(timeout=120_000)
            await expect(verdict).to_contain_text(words["kept"])
        assert await visit.findings() == []
        await visit.picture(f"tour-shown-{words['language']}-light-desktop")
    assert system.services["payment-service"].pid != killed


async def test_a_promise_that_is_not_kept_is_told(visit: Visit, system: System) -> None:
    """Here the crowd is told that a piece has vanished, and the card that should be declined is charged."""
    await visit.page.route("**/api/books", lambda route: route.fulfill(json=DISAGREEING))
    await visit.page.route("**/api/orders", as_a_new_customer)
    await visit.go("tour")
    for scene in ("books", "declined"):
        await visit.page.locator(f"#scene-{scene} button").click()
        await expect(visit.page.locator(f"#scene-{scene} .problem")).to_contain_text("Not kept.")


async def as_a_new_customer(route: Route) -> None:
    await route.continue_(post_data=json.dumps(json.loads(route.request.post_data or "{}") | {"customer_id": None}))


async def test_what_is_broken_heals(live: Visit, system: System, shop: Shop) -> None:
    await live.go("break")
    lane = live.page.get_by_role("article", name="Payments")
    async with brought_back(system, "payment-service"):
        before = system.services["payment-service"].pid
        await lane.get_by_role("button", name="Kill").click()
        await live.says("Payments: the process was killed.")
        await eventually(
            lambda: system.services["payment-service"].running and system.services["payment-service"].pid != before
        )
        await expect(lane.locator(".health")).to_have_text("1 well", timeout=60_000)
    for name in ("Orders", "Inventory", "Payments", "Notifications"):
        await live.page.get_by_role("article", name=name).get_by_role("button", name="Cut off").click()
        await live.says(f"{name}: its connections to the broker are cut.")
    order = await shop.place(Line(await shop.stock(5)))
    assert (await shop.ended(order["id"]))["status"] == "completed"
    await system.healthy()


async def test_the_gateway_answers_as_the_page_wants(live: Visit, shop: Shop) -> None:
    await live.go("break")
    gateway = live.page.locator('[aria-labelledby="gateway"]')
    try:
        await gateway.get_by_role("button", name="Declines").click()
        await live.says("The gateway answers as you wish")
        order = await shop.place(Line(await shop.stock(5)))
        assert (await shop.ended(order["id"]))["reason"] == "payment-declined"
        await gateway.get_by_role("button", name="Not at all").click()
        await live.says("The gateway answers as you wish")
        order = await shop.place(Line(await shop.stock(5)))
        await live.go(f"order/{order['id']}")
        await expect(live.page.locator('[aria-labelledby="payment"]')).to_contain_text("being charged")
    finally:
        await live.go("break")
        await gateway.get_by_role("button", name="Normally").click()
        await live.says("The gateway answers as you wish")
    assert (await shop.ended(order["id"], within_seconds=60))["status"] == "completed"


async def test_events_that_come_again_change_nothing(live: Visit, shop: Shop) -> None:
    product = await shop.stock(5)
    order = await shop.place(Line(product))
    await shop.ended(order["id"])
    await live.page.locator("tr.completed", has=live.page.locator(f'a[href="#/order/{order["id"]}"]')).wait_for()
    known = await shop.metric("payment-service", "events_duplicate_total")
    await live.go("break")
    await live.page.get_by_role("button", name="Send the last events again").click()
    await live.says("events were sent again")

    async def taken_for_known() -> bool:
        return await shop.metric("payment-service", "events_duplicate_total") > known

    await eventually(taken_for_known)
    assert await shop.stock_of(product) == (4, 0)
    await live.go(f"order/{order['id']}")
    await live.says("came 2 times")


async def test_a_queue_that_is_emptied_loses_no_order(live: Visit, system: System, shop: Shop) -> None:
    """The order asks again, half a minute after it was placed."""
    product = await shop.stock(5)
    await system.kill("inventory-service")
    try:
        order = await shop.place(Line(product))
        await live.go("break")
        await live.page.get_by_role("article", name="Inventory").get_by_role("button", name="Empty queue").click()
        await live.says("Inventory: 1 messages are gone.")
    finally:
        system.start("inventory-service")
        await system.healthy()
    assert (await shop.ended(order["id"], within_seconds=60))["status"] == "completed"


async def test_a_page_that_lost_its_server_says_so_and_connects_again(live: Visit, console: Service) -> None:
    await console.end(signal.SIGKILL)
    await live.says("Not connected. What you see is the last picture")
    await expect(live.page.locator(".link")).to_have_text("not connected")
    console.start()
    await expect(live.page.locator(".link")).to_have_text("live")
    await expect(live.page.get_by_text("Not connected. What you see")).to_have_count(0)


async def test_language_and_colours_are_chosen_on_the_page_and_kept(visit: Visit) -> None:
    await visit.go("live")
    await visit.page.get_by_label("Language").select_option("es")
    await visit.says("Los cuatro servicios")
    await visit.page.get_by_role("button", name="Claro u oscuro").click()
    await visit.page.reload()
    await visit.says("Los cuatro servicios")
    assert await visit.page.locator("html").get_attribute("data-theme") == "dark"
    assert await visit.page.title() == "Procesamiento de pedidos"


async def test_nothing_notices_that_the_console_is_gone(console: Service, system: System, shop: Shop) -> None:
    await console.end(signal.SIGKILL)
    order = await shop.place(Line(await shop.stock(5)))
    assert (await shop.ended(order["id"]))["status"] == "completed"
    await system.healthy()
    console.start()
    await all_healthy([console])
