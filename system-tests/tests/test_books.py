"""The books of a running shop. What they find, and when, is planted in test_book_rules.py and test_book_states.py."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from books import audit, examine
from load import Load, settled_books
from shop import Line, Shop
from system import System


async def test_a_busy_shop_never_raises_a_false_alarm(system: System, shop: Shop, chance: random.Random) -> None:
    """Read again and again while orders are placed, cancelled and charged for, and a service dies."""
    initial = {await shop.stock(10_000): 10_000 for _ in range(5)}
    load = Load(
        system.urls["order-service"],
        list(initial),
        clients=12,
        cancel=0.3,
        difficult=0.2,
        pause_seconds=0.05,
        chance=chance,
    )
    placing = asyncio.create_task(load.place(600))
    readings = under_way = 0
    while not placing.done() or readings < 20:
        assert (await examine(system.database_url, initial, settled=False)).findings == []
        under_way += any("is not final" not in sentence for sentence in await audit(system.database_url, initial))
        readings += 1
        if readings == 10:
            await system.kill("payment-service")
            system.start("payment-service")
    await placing
    await system.healthy()

    assert under_way > 5, "events were in flight when the books were read"
    assert await settled_books(system.database_url, initial, within_seconds=60) == []
    assert (await examine(system.database_url, initial, settled=False)).findings == []


async def test_run_by_hand_it_says_so_and_its_status_tells(system: System, shop: Shop) -> None:
    async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        script = Path(__file__).parents[1] / "books.py"
        command = [sys.executable, str(script), *arguments]
        variables = {"DATABASE_URL": system.database_url} | environment
        done = await asyncio.to_thread(subprocess.run, command, env=variables, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    await system.stop("inventory-service")
    try:
        order = await shop.place(Line(UUID(int=5)))
        status, said, _ = await run()
        assert (status, "1 pending" in said, "the books agree" in said) == (0, True, True)

        status, said, _ = await run("--settled")
        assert status == 1
        assert f"Order {order['id']} is pending, which is not final." in said

        status, said, _ = await run("--metrics")
        assert status == 0
        assert 'books_orders{status="pending"} 1.0' in said
    finally:
        system.start("inventory-service")
        await system.healthy("inventory-service")
    await shop.ended(order["id"])

    status, said, complaint = await run(DATABASE_URL="postgresql://postgres:postgres@127.0.0.1:9/nowhere")
    assert (status, said) == (2, "")
    assert "is the system up?" in complaint
