"""The demonstration and the load, run as a person runs them."""

import asyncio
import os
import re
import subprocess
import sys

import asyncpg  # type: ignore[import-untyped]  # it ships none
from chassis.testing import eventually

from operations.demo import SCENES
from shop import Shop
from system import System
from way import development_only

ASKED = 'reminders_total{kind="order"}'


def run(
    command: str, *arguments: str, urls: dict[str, str], database_url: str = ""
) -> subprocess.CompletedProcess[str]:
    addresses = {f"{name.upper().replace('-', '_')}_URL": url for name, url in urls.items()}
    return subprocess.run(
        [sys.executable, "-m", "operations", command, *arguments],
        env=os.environ | addresses | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_demonstration_shows_how_each_order_ends(system: System) -> None:
    shown = run("demo", urls=system.urls)

    assert shown.returncode == 0, shown.stdout + shown.stderr
    ends = re.findall(r"^  in the end +(\w+)$", shown.stdout, re.MULTILINE)
    assert ends == ["completed", "failed", "failed", "failed", "failed", "cancelled", "completed", "cancelled"]
    assert len(ends) == len(SCENES)
    assert "charged 39.85 USD (asked once)" in shown.stdout
    assert "charged 189.00 USD and refunded 189.00 USD" in shown.stdout


@development_only("in production an edge shows the load nothing of what the services count")
async def test_a_load_in_which_an_order_had_to_ask_again_is_no_success(system: System, shop: Shop) -> None:
    """The payments can't be written before a first reminder has come."""
    before = await shop.metric("order-service", ASKED)
    url = system.database_url.replace("+asyncpg", "")
    database, blocker = await asyncpg.connect(url), await asyncpg.connect(url)

    async def one_asks() -> bool:
        asked = await database.execute("UPDATE orders.orders SET remind_at = now() WHERE status = 'confirmed'")
        return bool(asked != "UPDATE 0")

    try:
        await blocker.execute("BEGIN; LOCK TABLE payments.payments")
        arguments = ("--orders", "5", "--cancel", "0")
        loading = asyncio.create_task(
            asyncio.to_thread(run, "load", *arguments, urls=system.urls, database_url=system.database_url)
        )
        await eventually(one_asks)
        await eventually(lambda: _more_than(shop, before))
    finally:
        await blocker.close()
        await database.close()
    shown = await loading
    assert shown.returncode == 1
    assert "asked again" in shown.stdout
    assert "they agree" in shown.stdout


async def _more_than(shop: Shop, before: float) -> bool:
    return await shop.metric("order-service", ASKED) > before


@development_only("in production an edge shows the load nothing of what the services count")
def test_under_load_an_order_costs_less_than_one_transaction_and_one_message(system: System) -> None:
    shown = run("load", "--orders", "1000", "--cancel", "0.1", urls=system.urls, database_url=system.database_url)

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "they agree" in shown.stdout
    for what in ("transactions", "AMQP messages"):
        found = re.search(rf"{what} +(\S+) an order", shown.stdout)
        assert found is not None, shown.stdout
        assert float(found[1]) < 1, shown.stdout
