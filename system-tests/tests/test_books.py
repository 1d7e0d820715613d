"""The books of a running shop. What they find, and when, is planted in the tests of operations/."""

import asyncio
import random

from operations.books import audit, examine
from operations.load import Load, settled_books
from shop import Shop
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
