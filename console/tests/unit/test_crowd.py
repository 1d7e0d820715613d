"""Many customers who want the same few pieces."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

from chassis.ports.errors import Unavailable
from chassis.testing import eventually

from application.acts import Acts
from application.crowd import Crowd
from application.watching import Watching
from tests.seen import PRODUCT


class FakeShop:
    """Sells `pieces` and oversells by `too_many`; every fifth order isn't accepted if `full`."""

    def __init__(self, *, too_many: int = 0, full: bool = False) -> None:
        self.pieces = 0
        self.placed: dict[str, dict[str, Any]] = {}
        self.customers: Counter[str] = Counter()
        self.too_many = too_many
        self.full = full
        self.sold = 0
        self.most_at_once = self.now = 0

    async def set_stock(self, product_id: str, stock: dict[str, Any]) -> dict[str, Any]:
        self.pieces = stock["quantity_available"]
        return {}

    async def stock_of(self, product_id: str) -> dict[str, Any]:
        return {"quantity_available": max(self.pieces - self.sold, 0), "reserved_quantity": 0}

    async def place(self, order: dict[str, Any]) -> dict[str, Any]:
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        self.customers[order["customer_id"]] += 1
        if self.full and len(self.customers) % 5 == 0:
            raise Unavailable("full")
        placed: dict[str, Any] = {"id": str(uuid4()), "status": "pending", "reason": None}
        self.placed[placed["id"]] = placed
        return placed

    async def order(self, order_id: str) -> dict[str, Any]:
        order = self.placed[order_id]
        if order["status"] == "pending":
            sold = self.sold < self.pieces + self.too_many
            self.sold += sold
            order |= {"status": "completed"} if sold else {"status": "failed", "reason": "out-of-stock"}
        return order


async def gathered(shop: Any, customers: int, pieces: int) -> dict[str, Any]:
    watching = Watching()
    acts = Acts(shop, watching)
    crowd = await acts.gather(customers, pieces)
    await eventually(lambda: crowd.decided and crowd.free is not None)
    await acts.stop()
    assert watching.crowd is crowd
    return crowd.picture()


async def test_a_crowd_is_sold_what_there_is_and_no_more() -> None:
    shop = FakeShop()
    picture = await gathered(shop, 200, 50)
    assert picture["statuses"] == {"completed": 50, "failed": 150}
    assert picture["reasons"] == {"out-of-stock": 150}
    assert (picture["free"], picture["held"], picture["settled"], picture["kept"]) == (0, 0, True, True)
    assert set(shop.customers.values()) == {1}
    assert len(shop.customers) == 200
    assert 1 < shop.most_at_once <= 50


async def test_an_oversold_crowd_is_told() -> None:
    assert not (await gathered(FakeShop(too_many=1), 20, 5))["kept"]


async def test_orders_that_are_not_accepted_are_counted() -> None:
    picture = await gathered(FakeShop(full=True), 20, 50)
    assert (picture["refused"], picture["decided"]) == (4, True)


def test_a_piece_that_vanished_is_told_once_nothing_is_held() -> None:
    crowd = Crowd(PRODUCT, wanted=1, pieces=5)
    crowd.note({"id": "a", "status": "completed"})
    crowd.note_stock({"quantity_available": 3, "reserved_quantity": 1})
    assert crowd.picture()["kept"]
    crowd.note_stock({"quantity_available": 3, "reserved_quantity": 0})
    assert not crowd.picture()["kept"]
