"""The console in a real browser: Debian's Chromium, driven by Playwright, on the system that the tests run."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, async_playwright

from system import ROOT, Service, System

SIZES: dict[str, ViewportSize] = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 760}}
_AXE = ROOT / "system-tests" / "axe" / "axe.min.js"
_FRAME_SECONDS = 0.5
_PICTURES = ROOT / "docs" / "pictures"
_HOW = "there is no chromium: install Debian's package, or run `make test` at the root, which does"


def console_of(system: System, log_folder: Path) -> Service:
    """The page's server on that system, not yet started."""
    urls = {f"{name.upper().replace('-', '_')}_URL": url for name, url in system.urls.items()}
    servers = {"DATABASE_URL": system.database_url, "RABBITMQ_URL": system.rabbitmq_url}
    return Service("console", log_folder / "console.log", os.environ | {"LOG_FORMAT": "json"} | urls | servers)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(_HOW)
        pytest.skip(_HOW)
    async with async_playwright() as playwright:
        # Its sandbox needs rights that a container seldom has; it sees no page but ours.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser,
    url: str,
    *,
    locale: str = "en-GB",
    theme: str = "light",
    size: str = "desktop",
    trusting: bool = False,
) -> AsyncIterator["Visit"]:
    """Somebody's browser, of that language and those colours, at the page. Fails if the page reports an error.
    `trusting`: it takes a certificate whose authority it doesn't know."""
    context = await browser.new_context(
        locale=locale,
        color_scheme="dark" if theme == "dark" else "light",
        viewport=SIZES[size],
        reduced_motion="reduce",
        ignore_https_errors=trusting,
    )
    visit = Visit(await context.new_page(), url)
    try:
        yield visit
        assert visit.errors == []
    finally:
        await context.close()


class Visit:
    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.url = url
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        # The browser logs each request that is refused or gets no answer; what the page makes of it counts.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    async def go(self, view: str) -> None:
        await self.page.goto(f"{self.url}/#/{view}")
        await self.page.locator(".link.connected").wait_for()

    async def sign_in(self, role: str, subject: str, password: str) -> None:
        """At the development issuer, to which the page leads from its button."""
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_label("Role").select_option(role)
        await self.page.get_by_label("Subject").fill(subject)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Sign in").click()

    async def says(self, text: str) -> None:
        """Waits until the page shows the text."""
        await self.page.get_by_text(text).first.wait_for()

    async def findings(self) -> list[str]:
        """What axe finds wrong with the page as it is now."""
        await self.page.evaluate(_AXE.read_text())
        result: Mapping[str, Any] = await self.page.evaluate("() => axe.run()")
        return [
            f"{violation['id']}: {violation['help']}: {node['html'][:200]} {node['failureSummary'][:200]}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]

    async def too_wide(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return int(await self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth"))

    @asynccontextmanager
    async def filmed(self, name: str) -> AsyncIterator[None]:
        """Writes docs/pictures/<name>.png, an animation of what is seen meanwhile, if PICTURES is set."""
        if not os.environ.get("PICTURES"):
            yield
            return
        frames: list[bytes] = []

        async def film() -> None:
            while True:
                frames.append(await self.page.screenshot())
                await asyncio.sleep(_FRAME_SECONDS)

        filming = asyncio.create_task(film())
        try:
            yield
        finally:
            filming.cancel()
            await asyncio.gather(filming, return_exceptions=True)
        _PICTURES.mkdir(parents=True, exist_ok=True)
        first, *others = (Image.open(BytesIO(frame)).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames)
        duration = int(_FRAME_SECONDS * 1000)
        first.save(_PICTURES / f"{name}.png", save_all=True, append_images=others, duration=duration, loop=0)

    async def picture(self, name: str) -> None:
        """Writes docs/pictures/<name>.png if PICTURES is set."""
        if os.environ.get("PICTURES"):
            _PICTURES.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=_PICTURES / f"{name}.png")
