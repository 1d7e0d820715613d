"""What a person does with the page: places orders, gathers a crowd."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from chassis.ports.errors import Unavailable, survived

from application.crowd import Crowd
from application.ports import Refused, Services
from application.watching import Watching

AT_THE_SAME_TIME = 50
LOOK_EVERY_SECONDS = 0.5
LOOK_FOR_SECONDS = 300.0


class Acts:
    def __init__(self, services: Services, watching: Watching) -> None:
        self._services = services
        self._watching = watching
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Nothing to do before somebody acts."""

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def place(self, customer_id: str | None, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Places an order, having looked at the stock before it."""
        products = [*dict.fromkeys(str(item["product_id"]) for item in items)]
        try:
            found = await asyncio.gather(*(self._services.stock_of(product) for product in products))
            before = dict(zip(products, found, strict=True))
        except (Refused, Unavailable):
            before = {}  # an order is accepted while inventory is away
        order = await self._services.place({"customer_id": customer_id or str(uuid4()), "items": [*items]})
        self._watching.note_stock(order["id"], before)
        return order

    async def gather(self, customers: int, pieces: int) -> Crowd:
        """So many new customers want a piece each of a new product of which there are so many. Returns at once; how it
        goes is seen."""
        product = str(uuid4())
        await self._services.set_stock(product, {"quantity_available": pieces})
        crowd = Crowd(product, customers, pieces)
        self._watching.crowd = crowd
        for earlier in self._tasks:
            earlier.cancel()
        task = asyncio.create_task(self._order_all(crowd), name="crowd")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return crowd

    async def _order_all(self, crowd: Crowd) -> None:
        with survived("the crowd"):
            turnstile = asyncio.Semaphore(AT_THE_SAME_TIME)
            body = {"items": [{"product_id": crowd.product_id, "quantity": 1, "price": 9.5}]}

            async def order() -> None:
                async with turnstile:
                    try:
                        crowd.note(await self._services.place({"customer_id": str(uuid4()), **body}))
                    except (Refused, Unavailable):
                        crowd.refused += 1

            async def look(order_id: str) -> None:
                async with turnstile:
                    crowd.note(await self._services.order(order_id))

            await asyncio.gather(*(order() for _ in range(crowd.wanted)))
            async with asyncio.timeout(LOOK_FOR_SECONDS):
                while True:
                    await asyncio.gather(*(look(order_id) for order_id in crowd.undecided()), return_exceptions=True)
                    try:
                        stock = await self._services.stock_of(crowd.product_id)
                        crowd.note_stock(stock)
                    except (Refused, Unavailable):
                        pass  # it is asked again
                    if crowd.settled:
                        return
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
